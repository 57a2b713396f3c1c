"""Work that many ask for at once, and that one run does for all of them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Generic, TypeVar

Result = TypeVar("Result")


class SharedRun(Generic[Result]):
    """Runs `work` once at a time. It belongs to one event loop."""

    def __init__(self, work: Callable[[], Awaitable[Result]]) -> None:
        self._work = work
        self._one_at_a_time = asyncio.Lock()
        self._next: asyncio.Task[Result] | None = None

    async def result(self) -> Result:
        """Return what a run says that begins after this call, or raise what it raises.

        Whoever asks before that run begins shares it. A caller that is cancelled does not end it: it has others.
        """
        if self._next is None:
            # Not in the caller's context: a run is nobody's own step.
            self._next = asyncio.get_running_loop().create_task(self._run(), context=Context())
        return await asyncio.shield(self._next)

    async def _run(self) -> Result:
        async with self._one_at_a_time:
            self._next = None
            return await self._work()
