"""/cluster_types and /clusters."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api import paging
from api.bodies import CreateClusterIn, TaskIn
from api.context import InContext
from api.idempotency import KeyHeader, key_of
from api.ids import ClusterId, check_marker
from api.routes.common import errors, point_to_operation
from api.schemas import (
    ClusterListOut,
    ClusterOut,
    ClusterTypeListOut,
    ClusterTypeOut,
    NodeListOut,
    NodeOut,
    to_rfc3339,
)
from api.services import clusters, credentials
from domain.options import AskedOptions

LifetimeS = Annotated[
    int | None,
    Query(
        ge=60, le=30 * 24 * 3600, description="How many seconds the certificate lasts; a day on Kubernetes if not said."
    ),
]
router = APIRouter(tags=["clusters"])


@router.get("/cluster_types", summary="List what clusters can be made of", responses=errors())
async def list_cluster_types(context: InContext) -> ClusterTypeListOut:
    """Return every cluster type; one that is not active can't be chosen for new clusters."""
    return ClusterTypeListOut(cluster_types=[ClusterTypeOut.model_validate(kind) for kind in context.parts.types])


@router.get("/clusters", summary="List clusters", responses=errors(400))
async def list_clusters(
    context: InContext,
    limit: paging.Limit = paging.MAX_LIMIT,
    marker: paging.Marker = None,
    name: Annotated[str | None, Query(description="Only the cluster of this name, in any case.")] = None,
) -> ClusterListOut:
    """Return clusters that are not deleted, oldest first."""
    page = await clusters.list_clusters(context, limit=limit, marker=check_marker(marker), name=name)
    links = paging.next_links(page, "/clusters", limit=limit, name=name)
    return ClusterListOut(clusters=[ClusterOut.model_validate(item) for item in page.items], links=links)


@router.post("/clusters", summary="Create a cluster", status_code=202, responses=errors(400, 409))
async def create_cluster(
    context: InContext,
    body: CreateClusterIn,
    response: Response,
    key: KeyHeader = None,
    *,
    retain: Annotated[bool, Query(description="Keep the pieces of a create that fails, for a look.")] = False,
) -> ClusterOut:
    """Accept a cluster and return it at once; its operation, named by Location, says how the making goes."""
    accepted = await clusters.create_cluster(
        context,
        name=body.name,
        type_id=body.cluster_type_id,
        node_count=body.node_count,
        retain=retain,
        options=AskedOptions() if body.options is None else body.options.asked(),
        idempotency=key_of(key, "/clusters", body, retain=retain),
    )
    point_to_operation(response, accepted)
    return ClusterOut.model_validate(accepted.cluster)


@router.get("/clusters/{cluster_id}", summary="Get a cluster", responses=errors(404))
async def get_cluster(context: InContext, cluster_id: ClusterId) -> ClusterOut:
    """Return a cluster; 404 once it is deleted."""
    return ClusterOut.model_validate(await clusters.get_cluster(context, cluster_id))


@router.delete("/clusters/{cluster_id}", summary="Delete a cluster", status_code=202, responses=errors(404, 409))
async def delete_cluster(
    context: InContext,
    cluster_id: ClusterId,
    response: Response,
    *,
    force: Annotated[bool, Query(description="Cancel a change that is running, and delete then.")] = False,
) -> ClusterOut:
    """Accept the cluster's end. It is gone when GET answers 404."""
    accepted = await clusters.delete_cluster(context, cluster_id, force=force)
    point_to_operation(response, accepted)
    return ClusterOut.model_validate(accepted.cluster)


@router.post(
    "/clusters/{cluster_id}/tasks", summary="Resize a cluster", status_code=202, responses=errors(400, 404, 409)
)
async def run_task(context: InContext, cluster_id: ClusterId, body: TaskIn, response: Response) -> ClusterOut:
    """Accept another number of nodes. If the cluster has that many, nothing is done and no Location comes back."""
    accepted = await clusters.resize_cluster(context, cluster_id, body.input.node_count)
    if accepted is None:
        return ClusterOut.model_validate(await clusters.get_cluster(context, cluster_id))
    point_to_operation(response, accepted)
    return ClusterOut.model_validate(accepted.cluster)


@router.get("/clusters/{cluster_id}/nodes", summary="List a cluster's nodes", responses=errors(400, 404))
async def list_nodes(
    context: InContext,
    cluster_id: ClusterId,
    limit: paging.Limit = paging.MAX_LIMIT,
    marker: paging.Marker = None,
) -> NodeListOut:
    """Return the cluster's nodes, oldest first."""
    page = await clusters.list_nodes(context, cluster_id, limit=limit, marker=check_marker(marker))
    links = paging.next_links(page, f"/clusters/{cluster_id}/nodes", limit=limit)
    return NodeListOut(nodes=[NodeOut.model_validate(item) for item in page.items], links=links)


@router.get(
    "/clusters/{cluster_id}/credentials/zip",
    summary="Get what it takes to reach the cluster's native API",
    response_class=Response,
    responses={
        **errors(400, 404),
        200: {"content": {"application/zip": {}}, "description": "A flat archive of files."},
    },
)
async def get_credentials(context: InContext, cluster_id: ClusterId, lifetime_s: LifetimeS = None) -> Response:
    """Return an archive with certificates, the private key and scripts that set the environment.

    They are made at each call, for the caller alone. The header Carina-Credentials-Expire says when the certificate
    ends, if it ends before the cluster's own.
    """
    archive = await credentials.credentials_zip(context, cluster_id, lifetime_s)
    headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{archive.cluster_name}.zip"'}
    if archive.expires_at is not None:
        headers["Carina-Credentials-Expire"] = to_rfc3339(archive.expires_at)
    return Response(archive.content, media_type="application/zip", headers=headers)
