"""Ports of hosts that lead to a cluster's nodes."""

from starlette.concurrency import run_in_threadpool

from api.context import Context
from domain.publications import Protocol
from store.views import Accepted, Page, PublicationView


async def list_publications(
    context: Context, cluster_id: str, *, limit: int, after: tuple[int, str] | None
) -> Page[PublicationView]:
    """Return a cluster's published ports beyond those of `after`; raise `NotFound`."""
    return await run_in_threadpool(context.repository.publications, cluster_id, limit=limit, after=after)


async def publish(
    context: Context, cluster_id: str, *, host_port: int, node_port: int, protocol: Protocol
) -> tuple[Accepted, PublicationView]:
    """Accept that a port is to lead to the cluster; raises what `Repository.accept_publish` raises."""
    accepted, publication = await run_in_threadpool(
        context.repository.accept_publish, cluster_id, host_port=host_port, node_port=node_port, protocol=protocol
    )
    context.parts.launcher.launch(accepted)
    return accepted, publication


async def unpublish(
    context: Context, cluster_id: str, host_port: int, protocol: Protocol
) -> tuple[Accepted, PublicationView]:
    """Accept that a port is to lead to the cluster no more; raise `NotFound`, `ClusterBusy`, `Conflict`."""
    accepted, publication = await run_in_threadpool(
        context.repository.accept_unpublish, cluster_id, host_port, protocol
    )
    context.parts.launcher.launch(accepted)
    return accepted, publication
