"""Cancelling: an operation that is cancelled at whatever step is undone, and says that it was cancelled."""

import pytest
from temporalio.client import WorkflowExecutionStatus
from test_create import CHANGING_CALLS
from workflow_testbed import Bed, running

from domain.clusters import ClusterStatus
from domain.errors import DiskFull, OperationCancelled
from domain.nodes import NodeState
from domain.operations import OperationState


async def cancelled_at(bed: Bed, call: str, on: str | None) -> None:
    accepted = bed.accept_create(count=3)
    held = bed.trouble.hold(call, on=on)
    handle = await bed.start(accepted.operation)
    await held.wait_reached()
    await handle.cancel()
    await bed.cancel_arrived(handle)
    held.release()
    assert await bed.end(handle) is WorkflowExecutionStatus.CANCELED

    operation = bed.repository.operation(accepted.operation.id)
    assert operation.state is OperationState.CANCELLED
    assert operation.error is not None
    assert operation.error.code == OperationCancelled.code
    cluster = bed.cluster(accepted)
    assert (cluster.status, cluster.error) == (ClusterStatus.ERROR, operation.error)
    bed.assert_nothing_left()


CANCEL_AT = [("records.begin_operation", None), ("orchestrator.node_files", None), *CHANGING_CALLS]


@pytest.mark.parametrize(("call", "on"), CANCEL_AT)
async def test_a_create_that_is_cancelled_at_any_call_leaves_nothing(bed: Bed, call: str, on: str | None) -> None:
    await cancelled_at(bed, call, on)


async def test_a_cancel_that_comes_when_all_is_done_is_too_late(bed: Bed) -> None:
    accepted = bed.accept_create()
    held = bed.trouble.hold("records.complete_operation")
    handle = await bed.start(accepted.operation)
    await held.wait_reached()
    await handle.cancel()
    await bed.cancel_arrived(handle)
    held.release()
    await bed.end(handle)
    assert bed.repository.operation(accepted.operation.id).state is OperationState.SUCCEEDED
    assert bed.cluster(accepted).status is ClusterStatus.ACTIVE
    assert bed.names() == ["demo-1"]


@pytest.mark.parametrize("call", ["nodes.remove", "fabric.remove_segment", "records.fail_operation"])
async def test_cancels_that_arrive_while_a_failure_is_undone_do_not_stop_the_undo(bed: Bed, call: str) -> None:
    bed.trouble.fail("orchestrator.verify", DiskFull("full"))
    held = bed.trouble.hold(call)
    accepted = bed.accept_create(count=2)
    handle = await bed.start(accepted.operation)
    await held.wait_reached()
    for _ in range(2):
        await handle.cancel()
        await bed.cancel_arrived(handle)
    held.release()
    assert await bed.end(handle) is WorkflowExecutionStatus.FAILED
    operation = bed.repository.operation(accepted.operation.id)
    assert operation.state is OperationState.FAILED
    assert operation.error is not None
    assert operation.error.code == DiskFull.code
    bed.assert_nothing_left()


async def test_a_second_cancel_during_the_undo_of_the_first_changes_nothing(bed: Bed) -> None:
    ensuring = bed.trouble.hold("orchestrator.verify")
    removing = bed.trouble.hold("nodes.remove")
    accepted = bed.accept_create(count=2)
    handle = await bed.start(accepted.operation)
    await ensuring.wait_reached()
    await handle.cancel()
    await removing.wait_reached()
    await handle.cancel()
    removing.release()
    assert await bed.end(handle) is WorkflowExecutionStatus.CANCELED
    assert bed.repository.operation(accepted.operation.id).state is OperationState.CANCELLED
    bed.assert_nothing_left()


async def test_a_grow_that_is_cancelled_leaves_the_cluster_as_it_was(bed: Bed) -> None:
    cluster = await bed.active(count=2)
    held = bed.trouble.hold("orchestrator.join", on="demo-4")
    accepted = bed.accept_resize(cluster.id, 4)
    handle = await bed.start(accepted.operation)
    await held.wait_reached()
    await handle.cancel()
    assert await bed.end(handle) is WorkflowExecutionStatus.CANCELED
    after = bed.cluster(cluster)
    assert (after.status, after.node_count, after.error) == (ClusterStatus.ACTIVE, 2, None)
    assert bed.names() == ["demo-1", "demo-2"]
    assert bed.members() == {"demo-1", "demo-2"}
    assert {node.state for node in bed.node_views(cluster)} == {NodeState.ACTIVE}


async def test_a_forced_delete_pushes_a_running_create_aside(bed: Bed) -> None:
    held = bed.trouble.hold("nodes.ensure", on="demo-2")
    creating = bed.accept_create(count=2)
    handle = await bed.start(creating.operation)
    await held.wait_reached()
    deleting = bed.repository.accept_delete(creating.cluster.id, force=True)
    assert deleting.cancel is not None
    await handle.cancel()
    assert await bed.end(handle) is WorkflowExecutionStatus.CANCELED
    assert (await bed.run(deleting)).state is OperationState.SUCCEEDED
    assert bed.repository.operation(creating.operation.id).state is OperationState.CANCELLED
    bed.assert_nothing_left()


async def test_an_operation_that_is_cancelled_before_a_worker_sees_it_makes_nothing(idle_bed: Bed) -> None:
    accepted = idle_bed.accept_create()
    handle = await idle_bed.start(accepted.operation)
    await handle.cancel()
    async with running(idle_bed):
        assert await idle_bed.end(handle) is WorkflowExecutionStatus.CANCELED
    idle_bed.assert_nothing_left()
    assert "nodes.ensure" not in {call for call, _subject in idle_bed.trouble.calls}
