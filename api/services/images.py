"""Archives of container images that people load into their clusters."""

from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack

from starlette.concurrency import run_in_threadpool

from api.context import Context
from domain.errors import CarinaError, NotFound
from domain.image_archives import image_names
from store.archives import IncomingArchive
from store.views import Accepted, ImageView

_PART_BYTES = 1024 * 1024
"""So much of an archive is written at once: enough for the hop into a thread to cost nothing beside it."""


async def list_images(context: Context, cluster_id: str) -> Sequence[ImageView]:
    """Return the images that were loaded into a cluster, oldest first; raise `NotFound`."""
    return await run_in_threadpool(context.repository.images, cluster_id)


async def load_image(context: Context, cluster_id: str, body: AsyncIterator[bytes]) -> tuple[Accepted, ImageView]:
    """Keep an archive as it comes, look into it, and accept that its images are put on every node.

    Nothing of it is left where it is no archive of images, or not accepted. Raises `NotFound`, `ClusterBusy`,
    `Conflict`, `InvalidInput`, `StorageFull`.
    """
    await run_in_threadpool(context.repository.check_image_acceptable, cluster_id)
    with_archive = ExitStack()
    archive = await run_in_threadpool(with_archive.enter_context, context.parts.archives.incoming())
    try:
        await _write(archive, body)
        accepted, image = await run_in_threadpool(_accept, context, cluster_id, archive)
    finally:
        await run_in_threadpool(with_archive.close)
    context.parts.launcher.launch(accepted)
    return accepted, image


async def forget_image(context: Context, cluster_id: str, digest: str) -> ImageView:
    """Forget an archive: new nodes don't get its images any more. Raises `NotFound`, `ClusterBusy`."""
    return await run_in_threadpool(_forget, context, cluster_id, digest)


async def _write(archive: IncomingArchive, body: AsyncIterator[bytes]) -> None:
    part = bytearray()
    async for chunk in body:
        part += chunk
        if len(part) >= _PART_BYTES:
            await run_in_threadpool(archive.write, part)
            part = bytearray()
    await run_in_threadpool(archive.write, part)


def _accept(context: Context, cluster_id: str, archive: IncomingArchive) -> tuple[Accepted, ImageView]:
    archive.file.seek(0)
    names = image_names(archive.file)
    archive.finish()
    digest, size_bytes = archive.digest, archive.size_bytes
    archive.keep(cluster_id)
    try:
        return context.repository.accept_image(cluster_id, digest=digest, names=names, size_bytes=size_bytes)
    except CarinaError:
        if not _is_known(context, cluster_id, digest):
            context.parts.archives.discard(cluster_id, digest)
        raise


def _is_known(context: Context, cluster_id: str, digest: str) -> bool:
    try:
        return any(image.digest == digest for image in context.repository.images(cluster_id))
    except NotFound:
        return False


def _forget(context: Context, cluster_id: str, digest: str) -> ImageView:
    image = context.repository.forget_image(cluster_id, digest)
    context.parts.archives.discard(cluster_id, digest)
    return image
