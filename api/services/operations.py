"""Operations: what was and is being changed, step by step."""

from collections.abc import Awaitable, Callable
from functools import partial

from starlette.concurrency import run_in_threadpool

from api.context import Context
from store.views import OperationView, Page


async def list_operations(context: Context, cluster_id: str, *, limit: int, marker: str | None) -> Page[OperationView]:
    """Return the operations on a cluster, a deleted one too, without their steps; raise `NotFound`."""
    return await run_in_threadpool(context.repository.operations, cluster_id, limit=limit, marker=marker)


async def get_operation(context: Context, operation_id: str) -> OperationView:
    """Return an operation with its steps; raise `NotFound`."""
    return await run_in_threadpool(context.repository.operation, operation_id)


async def wait_for_change(
    context: Context, operation_id: str, told: str, *, wait_s: float, gone: Callable[[], Awaitable[bool]]
) -> None:
    """Return once the operation's revision is another than `told`, or as `Waits` says; raise `NotFound`."""
    look = partial(context.repository.revision, operation_id)
    await context.parts.waits.for_change(look, told, wait_s=wait_s, gone=gone)
