"""The undo stack of a workflow: registered before each step, run in reverse, past failures and cancels."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

Result = TypeVar("Result")


def is_foreseen(error: BaseException) -> bool:
    """Return whether `error` is the failure or the cancellation of work, and not the workflow's own eviction or bug."""
    return isinstance(error, FailureError) or is_cancelled_exception(error)


def raise_if_cancelled() -> None:
    """Raise `CancelledError` if the running task was cancelled, although what it waited for ended well.

    A step that finishes in spite of a cancel returns its result, and the cancel would be forgotten.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def until_done(work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` to its end, however often the workflow is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.done():
                break
            workflow.logger.info("a cancel waits until the work under way is done")
    return task.result()


async def in_parallel(*work: Awaitable[Any]) -> list[Any]:
    """Run all of `work` at once. On the first failure cancel the rest, await their end, and raise that failure."""
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException as error:
        if is_foreseen(error):
            for task in tasks:
                task.cancel()
            await until_done(_ended(tasks))
        raise


async def each(*work: Awaitable[Any]) -> list[BaseException]:
    """Run all of `work` at once to its end, and return the failures: one that fails keeps no other from it."""
    results = await asyncio.gather(*work, return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    for failure in failures:
        if not is_foreseen(failure):
            raise failure
    return failures


async def _ended(tasks: Sequence[asyncio.Future[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


class Undo:
    """What it takes to undo the steps so far."""

    def __init__(self) -> None:
        self._stack: list[Callable[[], Awaitable[object]]] = []

    def push(self, undo: Callable[[], Awaitable[object]]) -> None:
        """Register how to undo the step that comes next."""
        self._stack.append(undo)

    def forget(self) -> None:
        """Let the steps so far stand, whatever comes after them."""
        self._stack.clear()

    async def run(self) -> list[BaseException]:
        """Undo all steps, last first, going on past those that fail; return their failures."""
        failures: list[BaseException] = []
        while self._stack:
            undo = self._stack.pop()
            try:
                await undo()
            except BaseException as error:
                if not is_foreseen(error):
                    raise
                workflow.logger.warning("an undo failed", exc_info=error)
                failures.append(error)
        return failures
