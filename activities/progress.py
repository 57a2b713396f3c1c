"""The interceptor around every activity: it writes progress, heartbeats, and turns errors into the catalogue's."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.failures import record_of, to_application_error
from activities.inputs import HostStep, Step
from activities.notes import begin_notes, noted
from activities.patience import Patience, with_host
from activities.record_ports import Progress
from domain.errors import CarinaError, ErrorRecord

HEARTBEATS_PER_TIMEOUT = 4

log = structlog.get_logger()


class ProgressInterceptor(Interceptor):
    """Writes every attempt of every step that belongs to an operation to `progress`."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._patience = Patience()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Stand in front of the activity."""
        return _Watched(next, self._progress, self._patience)


class _Watched(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, progress: Progress, patience: Patience) -> None:
        super().__init__(inner)
        self._progress = progress
        self._patience = patience

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        step = input.args[0] if input.args and isinstance(input.args[0], (Step, HostStep)) else None
        began = time.monotonic()
        begin_notes()
        await asyncio.to_thread(self._started, step)
        try:
            with _heartbeats():
                result = await super().execute_activity(input)
        except BaseException as caught:
            error = with_host(caught, _where(step)[1]) if step is not None else caught
            given_up = self._patience.ends(activity.info(), error, took_s=time.monotonic() - began)
            if not _lost(error):
                await asyncio.to_thread(self._ended, step, record_of(error))
            _log_end(step, began, error)
            if isinstance(error, Exception) and not isinstance(error, FailureError):
                # Temporal would keep the causes too, however long, and whatever they say: those stay in the log.
                raise to_application_error(error, final=given_up) from None
            raise
        self._patience.forget(activity.info())
        await asyncio.to_thread(self._ended, step, None)
        _log_end(step, began, None)
        return result

    def _started(self, step: Step | HostStep | None) -> None:
        if step is None or not step.operation_id:
            return
        info = activity.info()
        node, host = _where(step)
        self._progress.step_started(
            step.operation_id,
            _step_id(info),
            name=info.activity_type,
            node=node,
            host=host,
            attempt=info.attempt,
        )

    def _ended(self, step: Step | HostStep | None, error: ErrorRecord | None) -> None:
        if step is None or not step.operation_id:
            return
        info = activity.info()
        self._progress.step_ended(step.operation_id, _step_id(info), attempt=info.attempt, error=error, note=noted())


def _lost(error: BaseException) -> bool:
    """Return whether the attempt ends because its worker does: nobody cancelled it, and the next one marks it lost."""
    details = activity.cancellation_details()
    return is_cancelled_exception(error) and details is not None and details.worker_shutdown


def _step_id(info: activity.Info) -> str:
    """Activity ids are unique within a run; an operation may have a child's run too."""
    return f"{info.workflow_run_id}/{info.activity_id}"


def _where(step: Step | HostStep) -> tuple[str | None, str | None]:
    if isinstance(step, HostStep):
        return None, step.host
    return (step.node.name, step.node.host) if step.node else (None, None)


@contextmanager
def _heartbeats() -> Iterator[None]:
    """Heartbeat while an activity that has a heartbeat timeout runs, so that it hears of a cancel."""
    timeout = activity.info().heartbeat_timeout
    if timeout is None:
        yield
        return
    beating = asyncio.create_task(_beat(timeout.total_seconds() / HEARTBEATS_PER_TIMEOUT))
    try:
        yield
    finally:
        beating.cancel()


async def _beat(period_s: float) -> None:
    with suppress(asyncio.CancelledError):
        while True:
            activity.heartbeat()
            await asyncio.sleep(period_s)


def _log_end(step: Step | HostStep | None, began: float, error: BaseException | None) -> None:
    info = activity.info()
    node, host = _where(step) if step else (None, None)
    facts = {
        "step": info.activity_type,
        "workflow": info.workflow_id,
        "node": node,
        "host": host,
        "attempt": info.attempt,
        "took_s": round(time.monotonic() - began, 3),
    }
    facts = {name: value for name, value in facts.items() if value is not None}
    if error is None:
        log.info("step.done", **facts)
    elif is_cancelled_exception(error):
        log.info("step.cancelled", **facts)
    else:
        record = record_of(error)
        unforeseen = not isinstance(error, (CarinaError, ApplicationError))
        log.warning("step.failed", code=record.code, detail=record.detail, exc_info=unforeseen, **facts)
