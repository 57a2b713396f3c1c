"""What every operation has in common: it begins, tells its steps, and ends as done, failed or cancelled."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.failures import record_of
    from activities.inputs import FailStep, Step
    from activities.records import RecordActivities
    from domain.errors import ErrorRecord
    from domain.operations import STEP_TITLES
    from workflows.policies import RECORD, StepPolicy
    from workflows.undo import Undo, is_foreseen, raise_if_cancelled, until_done


@dataclass
class StepProgress:
    """Where one step is, for the progress query and the Temporal UI's current details."""

    name: str
    title: str
    node: str | None
    state: str
    host: str | None = None


class Story:
    """Runs an operation's steps, keeps their progress, and sees to it that the operation ends."""

    def __init__(self, operation_id: str, cluster_id: str = "") -> None:
        self.step = Step(operation_id, cluster_id)
        self.undo = Undo()
        self._progress: list[StepProgress] = []

    def progress(self) -> list[dict[str, str | None]]:
        """Return where each step is, in the order in which they began."""
        return [asdict(step) for step in self._progress]

    async def run(self, activity: Callable[..., Any], policy: StepPolicy, step: object = None, *more: object) -> Any:
        """Run one activity under `policy`, with this story's own step as its input unless another is given."""
        given = self.step if step is None else step
        node = getattr(given, "node", None)
        host = node.host if node else getattr(given, "host", None)
        where = node.name if node else host
        name = activity.__name__
        title = STEP_TITLES[name]
        with self.shown(name, title, node=node.name if node else None, host=host):
            return await workflow.execute_activity_method(
                activity,
                args=[given, *more],
                start_to_close_timeout=policy.attempt,
                schedule_to_close_timeout=policy.all_attempts,
                heartbeat_timeout=policy.heartbeat,
                retry_policy=policy.retry,
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                summary=f"{title}: {where}" if where else title,
            )

    @contextmanager
    def shown(self, name: str, title: str, *, node: str | None = None, host: str | None = None) -> Iterator[None]:
        """Show, while the block runs and after it, where the step called `name` is.

        Raises `CancelledError` if the block ended well in spite of a cancel: the next step must not begin.
        """
        entry = StepProgress(name, title, node, "running", host)
        self._progress.append(entry)
        self._show()
        try:
            yield
        except BaseException as error:
            entry.state = "cancelled" if is_cancelled_exception(error) else "failed"
            self._show()
            raise
        entry.state = "done"
        self._show()
        raise_if_cancelled()

    async def tell(self, steps: Callable[[], Awaitable[None]], *, retain: bool = False) -> None:
        """Begin the operation, run `steps`, and record how it ended.

        A failure or a cancel undoes the steps first, unless `retain` keeps a failed operation's pieces. The
        undo and the record survive further cancels. The failure is raised again, so that the workflow's own
        status is true.
        """
        if not await until_done(self.run(RecordActivities.begin_operation, RECORD)):
            workflow.logger.info("the operation has ended, or another run has it")
            return
        try:
            raise_if_cancelled()
            await steps()
            raise_if_cancelled()
            await until_done(self.run(RecordActivities.complete_operation, RECORD))
        except BaseException as error:
            if not is_foreseen(error):
                raise
            cancelled = is_cancelled_exception(error)
            await until_done(self._fail(record_of(error), cancelled=cancelled, retain=retain))
            if cancelled:
                raise
            record = record_of(error)
            raise ApplicationError(f"{record.title}: {record.detail}", record, type=record.code) from error

    async def _fail(self, record: ErrorRecord, *, cancelled: bool, retain: bool) -> None:
        if cancelled or not retain:
            failures = await self.undo.run()
            if failures:
                left = "; ".join(record_of(failure).detail for failure in failures)
                record = replace(record, detail=f"{record.detail} Undoing it left something for the sweep: {left}")
        step = FailStep(self.step.operation_id, self.step.cluster_id, error=record, cancelled=cancelled)
        await self.run(RecordActivities.fail_operation, RECORD, step)

    def _show(self) -> None:
        marks = {"running": "…", "done": "✓", "failed": "✗", "cancelled": "-"}
        lines = [
            f"- {marks[step.state]} {step.title}{f' `{where}`' if (where := step.node or step.host) else ''}"
            for step in self._progress
        ]
        workflow.set_current_details("\n".join(lines))
