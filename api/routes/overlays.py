"""/clusters/{cluster_id}/overlays."""

from fastapi import APIRouter, Response

from api import paging
from api.bodies import CreateOverlayIn
from api.context import InContext
from api.ids import ClusterId
from api.routes.common import errors, point_to_operation
from api.schemas import OverlayListOut, OverlayOut
from api.services import overlays
from domain.errors import CarinaError, InvalidInput, NotFound
from domain.overlays import could_name_overlay

router = APIRouter(tags=["overlay networks"])


def _named(name: str, otherwise: CarinaError) -> str:
    """Return `name`; raise `otherwise` where no overlay network can have it."""
    if not could_name_overlay(name):
        raise otherwise
    return name


@router.get("/clusters/{cluster_id}/overlays", summary="List overlay networks", responses=errors(400, 404))
async def list_overlays(
    context: InContext,
    cluster_id: ClusterId,
    limit: paging.Limit = paging.MAX_LIMIT,
    marker: paging.Marker = None,
) -> OverlayListOut:
    """Return the cluster's overlay networks by name."""
    if marker is not None:
        _named(marker, InvalidInput(f"The marker {marker!r} is no name.", field="marker"))
    page = await overlays.list_overlays(context, cluster_id, limit=limit, marker=marker)
    links = paging.next_links(page, f"/clusters/{cluster_id}/overlays", limit=limit)
    return OverlayListOut(overlays=[OverlayOut.model_validate(item) for item in page.items], links=links)


@router.post(
    "/clusters/{cluster_id}/overlays",
    summary="Make an overlay network",
    status_code=202,
    responses=errors(400, 404, 409),
)
async def create_overlay(
    context: InContext, cluster_id: ClusterId, body: CreateOverlayIn, response: Response
) -> OverlayOut:
    """Accept an overlay network across the cluster's nodes; it is active once containers were seen to meet on it.

    On Kubernetes it is a namespace that nothing else reaches but by its services; refused in its operation, as
    `policy-not-enforced`, where nothing enforces that.
    """
    accepted, overlay = await overlays.create_overlay(
        context,
        cluster_id,
        name=body.name,
        subnet=body.subnet,
        attachable=body.attachable,
        encrypted=body.encrypted,
        services=body.services,
    )
    point_to_operation(response, accepted)
    return OverlayOut.model_validate(overlay)


@router.delete(
    "/clusters/{cluster_id}/overlays/{name}",
    summary="Remove an overlay network",
    status_code=202,
    responses=errors(404, 409),
)
async def remove_overlay(context: InContext, cluster_id: ClusterId, name: str, response: Response) -> OverlayOut:
    """Accept the overlay network's end."""
    known = _named(name, NotFound(f"There is no overlay network {name[:64]!r}."))
    accepted, overlay = await overlays.remove_overlay(context, cluster_id, known)
    point_to_operation(response, accepted)
    return OverlayOut.model_validate(overlay)
