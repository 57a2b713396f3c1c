import asyncio
from collections.abc import Callable, Sequence

import pytest
from api_testbed import Testbed
from structlog.testing import capture_logs

from api.ports import RunState
from api.reconciler import Reconciler
from domain.errors import Unavailable
from store.outbox import Outbox
from store.views import OperationView


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reconciler(bed: Testbed, clock: Clock) -> Reconciler:
    return Reconciler(Outbox(bed.engine), bed.starter, period_s=0.01, pending_age_s=0, clock=clock)


async def _put_off(bed: Testbed, name: str = "demo") -> dict[str, str]:
    """Accept a create while Temporal is away."""
    bed.starter.reachable = False
    cluster = await bed.create(name)
    await bed.launcher.settle()
    bed.starter.reachable = True
    return cluster


async def _state(bed: Testbed, operation_id: str) -> str:
    return str((await bed.get(f"/operations/{operation_id}"))["state"])


async def test_what_was_accepted_while_temporal_was_away_is_started(bed: Testbed, reconciler: Reconciler) -> None:
    cluster = await _put_off(bed)
    await reconciler.reconcile()
    assert [operation.id for operation in bed.starter.started] == [cluster["operation_id"]]


async def test_the_first_pass_takes_what_is_young_and_later_ones_leave_it(bed: Testbed) -> None:
    reconciler = Reconciler(Outbox(bed.engine), bed.starter, pending_age_s=60)
    await _put_off(bed, "before")
    await reconciler.reconcile()
    assert len(bed.starter.started) == 1
    await _put_off(bed, "after")
    await reconciler.reconcile()
    assert [operation.cluster_name for operation in bed.starter.started] == ["before"]


async def test_an_operation_that_has_begun_is_not_started_again(bed: Testbed, reconciler: Reconciler) -> None:
    cluster = await _put_off(bed)
    bed.begin(cluster["operation_id"])
    bed.starter.states[cluster["operation_id"]] = RunState.RUNNING
    await reconciler.reconcile()
    assert bed.starter.started == []
    assert await _state(bed, cluster["operation_id"]) == "running"


async def test_a_delete_waits_for_the_workflow_it_pushed_aside(bed: Testbed, reconciler: Reconciler) -> None:
    cluster = await _put_off(bed)
    create = cluster["operation_id"]
    bed.begin(create)
    bed.starter.reachable = False
    response = await bed.http.delete(f"/clusters/{cluster['id']}?force=true")
    await bed.launcher.settle()
    bed.starter.reachable = True
    bed.starter.states[create] = RunState.RUNNING
    bed.starter.held.add(f"cluster-{cluster['id']}")
    await reconciler.reconcile()
    await reconciler.reconcile()
    assert [operation.id for operation in bed.starter.cancelled] == [create]
    assert bed.starter.started == []
    bed.starter.held.clear()
    await reconciler.reconcile()
    assert [operation.id for operation in bed.starter.started] == [response.json()["operation_id"]]


@pytest.mark.parametrize("state", [RunState.CLOSED, RunState.MISSING])
async def test_an_operation_whose_workflow_is_gone_is_lost_after_a_while(
    bed: Testbed, reconciler: Reconciler, clock: Clock, state: RunState
) -> None:
    cluster = await _put_off(bed)
    operation_id = cluster["operation_id"]
    bed.begin(operation_id)
    bed.starter.states[operation_id] = state
    await reconciler.reconcile()
    clock.now_s += 4.9
    await reconciler.reconcile()
    assert await _state(bed, operation_id) == "running"
    clock.now_s += 0.1
    await reconciler.reconcile()
    operation = await bed.get(f"/operations/{operation_id}")
    assert (operation["state"], operation["error"]["code"]) == ("failed", "operation-lost")
    shown = await bed.get(f"/clusters/{cluster['id']}")
    assert (shown["status"], shown["error"]["code"], shown["operation_id"]) == ("error", "operation-lost", None)


async def test_a_row_that_is_closed_meanwhile_is_left_alone(bed: Testbed, reconciler: Reconciler, clock: Clock) -> None:
    cluster = await _put_off(bed)
    operation_id = cluster["operation_id"]
    bed.begin(operation_id)
    bed.records.reserve_nodes(operation_id, 1)
    bed.starter.states[operation_id] = RunState.CLOSED
    await reconciler.reconcile()
    bed.records.complete_operation(operation_id)
    clock.now_s += 60
    await reconciler.reconcile()
    assert await _state(bed, operation_id) == "succeeded"


async def test_a_workflow_that_is_seen_running_again_starts_the_wait_anew(
    bed: Testbed, reconciler: Reconciler, clock: Clock
) -> None:
    operation_id = (await _put_off(bed))["operation_id"]
    bed.begin(operation_id)
    for state in (RunState.MISSING, RunState.RUNNING, RunState.MISSING):
        bed.starter.states[operation_id] = state
        await reconciler.reconcile()
        clock.now_s += 4
    assert await _state(bed, operation_id) == "running"


async def test_nothing_is_lost_while_temporal_is_away(bed: Testbed, reconciler: Reconciler, clock: Clock) -> None:
    operation_id = (await _put_off(bed))["operation_id"]
    bed.begin(operation_id)
    bed.starter.reachable = False
    for _ in range(3):
        with pytest.raises(Unavailable):
            await reconciler.reconcile()
        clock.now_s += 60
    assert await _state(bed, operation_id) == "running"


async def test_a_create_cancelled_before_it_began_is_closed_as_cancelled(
    bed: Testbed, reconciler: Reconciler, clock: Clock
) -> None:
    cluster = await _put_off(bed)
    await bed.http.delete(f"/clusters/{cluster['id']}?force=true")
    bed.starter.closed.set()
    await bed.launcher.settle()
    await reconciler.reconcile()
    clock.now_s += 10
    await reconciler.reconcile()
    operation = await bed.get(f"/operations/{cluster['operation_id']}")
    assert operation["error"]["code"] == "operation-cancelled"
    assert (await bed.get(f"/clusters/{cluster['id']}"))["status"] == "deleting"


async def test_one_operation_that_can_not_be_started_keeps_no_other_from_it(
    bed: Testbed, reconciler: Reconciler
) -> None:
    broken, fine = await _put_off(bed, "broken"), await _put_off(bed, "fine")
    bed.starter.failures[broken["operation_id"]] = RuntimeError("not this one")
    with capture_logs() as logs:
        await reconciler.reconcile()
    assert [operation.id for operation in bed.starter.started] == [fine["operation_id"]]
    assert [entry["operation"] for entry in logs if entry["event"] == "reconciler.operation_failed"] == [
        broken["operation_id"]
    ]


class FlakyOutbox(Outbox):
    """Fails at first, as a database does that is being restarted."""

    failures = 3

    def running(self) -> Sequence[OperationView]:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("no database yet")
        return super().running()


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for is a log line or an entry in a list
        await asyncio.sleep(0.01)


async def test_the_loop_outlives_errors_and_outages(bed: Testbed) -> None:
    cluster = await _put_off(bed)
    bed.starter.reachable = False
    reconciler = Reconciler(FlakyOutbox(bed.engine), bed.starter, period_s=0.01, pending_age_s=0)
    with capture_logs() as logs:
        loop = asyncio.create_task(reconciler.run())
        try:
            async with asyncio.timeout(5):
                await _until(lambda: any(entry["event"] == "reconciler.temporal_unreachable" for entry in logs))
                bed.starter.reachable = True
                await _until(lambda: bool(bed.starter.started))
        finally:
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)
    assert bed.starter.started[0].id == cluster["operation_id"]
    events = [entry["event"] for entry in logs]
    assert events.count("reconciler.pass_failed") == 3
    assert events.count("reconciler.temporal_unreachable") == 1
