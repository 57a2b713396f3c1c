"""The maintenance schedules: one table, which the Temporal server is brought in line with at each start."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from workflows.names import SWEEP_ORPHANS, SweepOrphansInput, task_queue

log = structlog.get_logger()


@dataclass(frozen=True)
class Maintenance:
    """One workflow that runs by itself, `every` so often."""

    id: str
    workflow: str
    argument: object
    every: timedelta
    note: str


def maintenance(prefix: str, *, sweep_grace_s: int) -> tuple[Maintenance, ...]:
    """Return the table of the instance with that prefix."""
    return (
        Maintenance(
            id=f"{prefix}-sweep-orphans",
            workflow=SWEEP_ORPHANS,
            argument=SweepOrphansInput(grace_s=sweep_grace_s),
            every=timedelta(hours=1),
            note="Removes what carries our stamp and has no record.",
        ),
    )


async def converge(client: Client, prefix: str, table: tuple[Maintenance, ...]) -> None:
    """Create or update each schedule of the table. A schedule that was paused in the Temporal UI stays paused."""
    for entry in table:
        wanted = _schedule(entry, task_queue(prefix))
        try:
            await client.create_schedule(entry.id, wanted)
            log.info("schedule.created", schedule=entry.id)
        except ScheduleAlreadyRunningError:
            await client.get_schedule_handle(entry.id).update(partial(_update, wanted))


def _schedule(entry: Maintenance, queue: str) -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow(
            entry.workflow, entry.argument, id=entry.id, task_queue=queue, static_summary=entry.note
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=entry.every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=entry.every),
        state=ScheduleState(note=entry.note),
    )


def _update(wanted: Schedule, present: ScheduleUpdateInput) -> ScheduleUpdate:
    wanted.state = present.description.schedule.state
    return ScheduleUpdate(wanted)
