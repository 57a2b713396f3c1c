"""Overlay networks of a cluster."""

from collections.abc import Sequence

from starlette.concurrency import run_in_threadpool

from api.context import Context
from store.views import Accepted, OverlayView, Page


async def list_overlays(context: Context, cluster_id: str, *, limit: int, marker: str | None) -> Page[OverlayView]:
    """Return a cluster's overlay networks by name; raise `NotFound`."""
    return await run_in_threadpool(context.repository.overlays, cluster_id, limit=limit, marker=marker)


async def create_overlay(
    context: Context,
    cluster_id: str,
    *,
    name: str,
    subnet: str | None,
    attachable: bool | None,
    encrypted: bool | None,
    services: Sequence[str] | None,
) -> tuple[Accepted, OverlayView]:
    """Accept a new overlay network; raises what `Repository.accept_overlay` raises."""
    accepted, overlay = await run_in_threadpool(
        context.repository.accept_overlay,
        cluster_id,
        name=name,
        subnet=subnet,
        attachable=attachable,
        encrypted=encrypted,
        services=services,
    )
    context.parts.launcher.launch(accepted)
    return accepted, overlay


async def remove_overlay(context: Context, cluster_id: str, name: str) -> tuple[Accepted, OverlayView]:
    """Accept an overlay network's end; raise `NotFound`, `ClusterBusy`, `Conflict`."""
    accepted, overlay = await run_in_threadpool(context.repository.accept_overlay_removal, cluster_id, name)
    context.parts.launcher.launch(accepted)
    return accepted, overlay
