"""Starts the workflow of what was just accepted, without letting the caller wait for it."""

import asyncio
from collections.abc import Coroutine

import structlog

from api.ports import AlreadyRunning, Starter
from domain.errors import CarinaError
from store.views import Accepted, HostAccepted, OperationView

START_TIMEOUT_S = 3.0
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Launcher:
    """Starts workflows in the background, at once. What fails here is only put off: the reconciler has the row."""

    def __init__(self, starter: Starter, *, start_timeout_s: float = START_TIMEOUT_S) -> None:
        self._starter = starter
        self._start_timeout_s = start_timeout_s
        self._tasks: set[asyncio.Task[None]] = set()

    def launch(self, accepted: Accepted | HostAccepted) -> None:
        """Start what was accepted; after what it pushes aside has closed, if it does. Returns at once."""
        if accepted.replayed:
            return
        if accepted.cancel is None:
            self._spawn(self._start(accepted.operation))
        else:
            self._spawn(self._push_aside(accepted.cancel, accepted.operation))

    async def settle(self) -> None:
        """Return once nothing is being launched any more."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def close(self) -> None:
        """End what is being launched. Whatever was not started yet, the reconciler starts."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._tasks.discard)

    async def _start(self, operation: OperationView) -> None:
        try:
            async with asyncio.timeout(self._start_timeout_s):
                await self._starter.start(operation)
        except (CarinaError, AlreadyRunning, TimeoutError) as error:
            _log.warning("operation.start_put_off", operation=operation.id, kind=operation.kind, reason=repr(error))
        except Exception:  # noqa: BLE001 - logged; the reconciler tries again
            _log.exception("operation.start_put_off", operation=operation.id, kind=operation.kind)
        else:
            _log.info("operation.started", operation=operation.id, kind=operation.kind, workflow=operation.workflow_id)

    async def _push_aside(self, running: OperationView, operation: OperationView) -> None:
        try:
            async with asyncio.timeout(self._start_timeout_s):
                await self._starter.cancel(running)
            _log.info("operation.cancel_asked", operation=running.id, kind=running.kind)
            await self._starter.wait_closed(running)
        except (CarinaError, TimeoutError) as error:
            _log.warning("operation.cancel_put_off", operation=running.id, kind=running.kind, reason=repr(error))
        except Exception:  # noqa: BLE001 - logged; the reconciler tries again
            _log.exception("operation.cancel_put_off", operation=running.id, kind=running.kind)
        else:
            await self._start(operation)
