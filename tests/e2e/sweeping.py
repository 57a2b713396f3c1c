"""The sweep of orphans, triggered as an operator triggers it: by its schedule in Temporal."""

import asyncio
import json
import time
from collections.abc import Callable

from installation import POLL_S, Installation
from temporalio.client import Client, ScheduleHandle

SKIPPED_AFTER_S = 2.0
TRIES = 15


async def temporal(installation: Installation) -> Client:
    """A client of the instance's own Temporal server."""
    identity = json.loads((installation.home / "instance.json").read_text())
    return await Client.connect(f"127.0.0.1:{identity['temporal_port']}")


async def sweep(installation: Installation) -> None:
    """Trigger the schedule, and return when the sweep that it starts has ended well.

    Temporal notices the end of a schedule's last workflow a moment later, and skips what is triggered before: then the
    schedule is triggered again.
    """
    client = await temporal(installation)
    prefix = json.loads((installation.home / "instance.json").read_text())["prefix"]
    schedule = client.get_schedule_handle(f"{prefix}-sweep-orphans")
    known = await _started(schedule)
    new: set[str] = set()
    for _ in range(TRIES):
        await schedule.trigger()
        deadline = time.monotonic() + SKIPPED_AFTER_S
        while not new and time.monotonic() < deadline:
            await asyncio.sleep(POLL_S)
            new = await _started(schedule) - known
        if new:
            break
    assert new, "the schedule started nothing"
    for workflow_id in new:
        await client.get_workflow_handle(workflow_id).result()


async def sweep_until(installation: Installation, condition: Callable[[], bool], timeout_s: float = 60) -> None:
    """Sweep, again and again, until `condition` holds."""
    deadline = time.monotonic() + timeout_s
    while True:
        await sweep(installation)
        if condition():
            return
        assert time.monotonic() < deadline, "no sweep brought it about"
        await asyncio.sleep(POLL_S)


async def _started(schedule: ScheduleHandle) -> set[str]:
    description = await schedule.describe()
    return {action.action.workflow_id for action in description.info.recent_actions}
