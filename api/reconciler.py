"""Brings operations' rows and Temporal's workflows together again after a process, or Temporal, was gone.

The row is written before the workflow starts, so three things can be amiss: an accepted operation whose workflow was
never started, a cancel that was stored and never asked for, and a row that is open though its workflow is not.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

import structlog
from starlette.concurrency import run_in_threadpool

from api.ports import AlreadyRunning, RunState, Starter
from domain.errors import ErrorRecord, OperationCancelled, OperationLost, Unavailable
from domain.operations import OperationState
from store.outbox import Outbox
from store.views import OperationView

PERIOD_S = 2.0
PENDING_AGE_S = 1.0
"""Younger pending operations are left to the process that accepted them."""
LOST_AFTER_S = 5.0
"""How long a row has to be open beside a closed workflow until the operation counts as lost."""
_AT_ONCE = 8
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Reconciler:
    """Looks after all open operations. Any number of them may run beside each other."""

    def __init__(
        self,
        outbox: Outbox,
        starter: Starter,
        *,
        period_s: float = PERIOD_S,
        pending_age_s: float = PENDING_AGE_S,
        lost_after_s: float = LOST_AFTER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._starter = starter
        self._period_s = period_s
        self._pending_age_s = pending_age_s
        self._lost_after_s = lost_after_s
        self._clock = clock
        self._closed_since: dict[str, float] = {}
        self._cancel_asked: set[str] = set()
        self._first = True

    async def run(self) -> None:
        """Reconcile at once and then every period, until cancelled. What goes wrong is logged, and tried again."""
        reachable = True
        while True:
            try:
                await self.reconcile()
            except Unavailable as error:
                if reachable:  # said once, not every period of an outage
                    _log.warning("reconciler.temporal_unreachable", reason=error.detail)
                reachable = False
            except Exception:  # noqa: BLE001 - logged; the loop has to outlive any error
                _log.exception("reconciler.pass_failed")
            else:
                if not reachable:
                    _log.info("reconciler.temporal_reachable")
                reachable = True
            await asyncio.sleep(self._period_s)

    async def reconcile(self) -> None:
        """Look once at every open operation. Raises `Unavailable` when Temporal can't be reached.

        One operation that can't be dealt with does not keep the others from it.
        """
        # Rows that were pending when this process began are nobody else's to start: they are taken at any age.
        age_s = 0.0 if self._first else self._pending_age_s
        running = await run_in_threadpool(self._outbox.running)
        pending = await run_in_threadpool(self._outbox.pending, age_s)
        self._first = False
        still_open = {operation.id for operation in running}
        self._cancel_asked &= still_open
        self._closed_since = {key: since for key, since in self._closed_since.items() if key in still_open}
        await self._each(self._look_after, running)
        await self._each(self._start, pending)

    async def _each(
        self, action: Callable[[OperationView], Awaitable[None]], operations: Iterable[OperationView]
    ) -> None:
        limit = asyncio.Semaphore(_AT_ONCE)
        unreachable: list[Unavailable] = []

        async def guarded(operation: OperationView) -> None:
            async with limit:
                if unreachable:
                    return
                try:
                    await action(operation)
                except Unavailable as error:
                    unreachable.append(error)
                except Exception:  # noqa: BLE001 - logged; the other operations still get their turn
                    _log.exception("reconciler.operation_failed", operation=operation.id, kind=operation.kind)

        await asyncio.gather(*(guarded(operation) for operation in operations))
        if unreachable:
            raise unreachable[0]

    async def _start(self, operation: OperationView) -> None:
        try:
            await self._starter.start(operation)
        except AlreadyRunning:
            # A forced delete waits for what it pushed aside; the next pass tries again.
            _log.debug("reconciler.waits", operation=operation.id, kind=operation.kind)
        else:
            _log.info("reconciler.started", operation=operation.id, kind=operation.kind)

    async def _look_after(self, operation: OperationView) -> None:
        state = await self._starter.describe(operation)
        if state is not RunState.RUNNING:
            await self._suspect(operation, state)
            return
        self._closed_since.pop(operation.id, None)
        if operation.state is OperationState.CANCELLING and operation.id not in self._cancel_asked:
            await self._starter.cancel(operation)
            self._cancel_asked.add(operation.id)
            _log.info("reconciler.cancel_asked", operation=operation.id, kind=operation.kind)

    async def _suspect(self, operation: OperationView, state: RunState) -> None:
        """Close the row of a workflow that is gone, once it was seen so in two reads of the row, some time apart.

        A workflow's last activity closes the row before the workflow closes, so a row that is open in a read after
        the workflow was seen closed stays open for ever.
        """
        now = self._clock()
        since = self._closed_since.get(operation.id)
        if since is None:
            self._closed_since[operation.id] = now
            return
        if now - since < self._lost_after_s:
            return
        await run_in_threadpool(self._outbox.mark_lost, operation.id, _why_lost(operation, state))
        _log.warning("reconciler.lost", operation=operation.id, kind=operation.kind, workflow_state=state)


def _why_lost(operation: OperationView, state: RunState) -> ErrorRecord:
    if operation.state is OperationState.CANCELLING and operation.run_id is None and state is RunState.MISSING:
        return OperationCancelled(f"Operation {operation.id} was cancelled before it began.").record()
    run = f"{operation.workflow_id} (run {operation.run_id or 'unknown'})"
    what = "is not known to Temporal" if state is RunState.MISSING else "was ended from outside"
    return OperationLost(f"The workflow {run} of operation {operation.id} {what}.").record()
