"""/clusters/{cluster_id}/images."""

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from api.context import InContext
from api.ids import ClusterId
from api.routes.common import errors, point_to_operation
from api.schemas import ImageListOut, ImageOut
from api.services import images
from domain.errors import InvalidInput, NotFound
from domain.images import is_digest

router = APIRouter(tags=["container images"])
_ARCHIVE = {
    "required": True,
    "description": "The archive itself: docker-archive ('docker save') or an OCI layout, as a tar.",
    "content": {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}},
}


@router.get("/clusters/{cluster_id}/images", summary="List container images", responses=errors(404))
async def list_images(context: InContext, cluster_id: ClusterId) -> ImageListOut:
    """Return what was loaded into the cluster, oldest first: new nodes get those that are active."""
    found = await images.list_images(context, cluster_id)
    return ImageListOut(images=[ImageOut.model_validate(image) for image in found], links=[])


@router.post(
    "/clusters/{cluster_id}/images",
    summary="Load container images",
    status_code=202,
    responses=errors(400, 404, 409, 413, 507),
    openapi_extra={"requestBody": _ARCHIVE},
)
async def load_image(request: Request, context: InContext, cluster_id: ClusterId, response: Response) -> ImageOut:
    """Take an archive, and accept that its images are put on every node, and on those that come later.

    The body may come in chunks, and is not compressed as a whole. The same archive again is loaded again.
    """
    try:
        accepted, image = await images.load_image(context, cluster_id, request.stream())
    except ClientDisconnect:
        raise InvalidInput("The archive ended before its end.", field="body", remedy="Send it again.") from None
    point_to_operation(response, accepted)
    return ImageOut.model_validate(image)


@router.delete("/clusters/{cluster_id}/images/{digest}", summary="Forget container images", responses=errors(404, 409))
async def forget_image(context: InContext, cluster_id: ClusterId, digest: str) -> ImageOut:
    """Drop the service's copy of an archive: new nodes don't get its images any more; nodes keep what they have."""
    if not is_digest(digest):
        raise NotFound(f"There is no image {digest[:80]!r}.")
    return ImageOut.model_validate(await images.forget_image(context, cluster_id, digest))
