"""Clusters: what is read of them, and changes that are accepted at once and carried out by workflows."""

from starlette.concurrency import run_in_threadpool

from api.context import Context
from domain.clusters import ClusterType, check_name, check_node_count, find_type
from domain.errors import ReleaseMissing
from domain.options import AskedOptions
from store.views import Accepted, ClusterView, IdempotencyKey, NodeView, Page


async def list_clusters(context: Context, *, limit: int, marker: str | None, name: str | None) -> Page[ClusterView]:
    """Return the owner's clusters; with `name`, the one of that name in any case."""
    wanted = None if name is None else check_name(name)
    return await run_in_threadpool(context.repository.clusters, limit=limit, marker=marker, name=wanted)


async def get_cluster(context: Context, cluster_id: str) -> ClusterView:
    """Return a cluster; raise `NotFound`."""
    return await run_in_threadpool(context.repository.cluster, cluster_id)


async def list_nodes(context: Context, cluster_id: str, *, limit: int, marker: str | None) -> Page[NodeView]:
    """Return a cluster's nodes; raise `NotFound`."""
    return await run_in_threadpool(context.repository.nodes, cluster_id, limit=limit, marker=marker)


async def create_cluster(
    context: Context,
    *,
    name: str,
    type_id: int,
    node_count: int,
    retain: bool,
    options: AskedOptions,
    idempotency: IdempotencyKey | None,
) -> Accepted:
    """Accept a new cluster; `retain` keeps the pieces of a create that fails.

    Raises `InvalidInput`, `NameTaken`, `KeyReused`, `SubnetOverlaps`, `ReleaseMissing`, `Unavailable`.
    """
    kind = find_type(context.parts.types, type_id)
    await run_in_threadpool(_check_release, context, kind)
    accepted = await run_in_threadpool(
        context.repository.accept_create,
        name=check_name(name),
        cluster_type=kind,
        node_count=check_node_count(node_count),
        retain=retain,
        idempotency=idempotency,
        options=options,
    )
    context.parts.launcher.launch(accepted)
    return accepted


async def resize_cluster(context: Context, cluster_id: str, node_count: int) -> Accepted | None:
    """Accept another number of nodes, None if it is that already; raise `NotFound`, `ClusterBusy`, `Conflict`."""
    wanted = check_node_count(node_count, field="input.node_count")
    accepted = await run_in_threadpool(context.repository.accept_resize, cluster_id, wanted)
    if accepted is not None:
        context.parts.launcher.launch(accepted)
    return accepted


async def delete_cluster(context: Context, cluster_id: str, *, force: bool) -> Accepted:
    """Accept a cluster's end; `force` pushes a running change aside. Raises `NotFound`, `ClusterBusy`."""
    accepted = await run_in_threadpool(context.repository.accept_delete, cluster_id, force=force)
    context.parts.launcher.launch(accepted)
    return accepted


def _check_release(context: Context, kind: ClusterType) -> None:
    if not context.parts.releases.has(kind.coe, kind.version):
        raise ReleaseMissing(
            f"The service has no release of {kind.coe} {kind.version}, which {kind.name} is made of.",
            field="cluster_type_id",
            remedy=f"Add it on the service's machine with 'carinad release add {kind.coe} {kind.version}'.",
        )
