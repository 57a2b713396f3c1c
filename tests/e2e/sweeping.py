"""The sweep of orphans, triggered as an operator triggers it: by its schedule in Temporal."""

import asyncio
import json
import time
from collections.abc import Callable

from installation import Installation
from temporalio.client import Client, ScheduleHandle

SCHEDULE = "sweep-orphans"


async def temporal(installation: Installation) -> Client:
    """A client of the instance's own Temporal server."""
    identity = json.loads((installation.home / "instance.json").read_text())
    return await Client.connect(f"127.0.0.1:{identity['temporal_port']}")


async def sweep(installation: Installation) -> None:
    """Trigger the schedule, and return when the sweep that it starts has ended well."""
    client = await temporal(installation)
    schedule = client.get_schedule_handle(SCHEDULE)
    known = await _started(schedule)
    await schedule.trigger()
    deadline = time.monotonic() + 20
    while not (new := await _started(schedule) - known):
        assert time.monotonic() < deadline, "the schedule started nothing"
        await asyncio.sleep(0.05)
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
        await asyncio.sleep(0.5)


async def _started(schedule: ScheduleHandle) -> set[str]:
    description = await schedule.describe()
    return {action.action.workflow_id for action in description.info.recent_actions}
