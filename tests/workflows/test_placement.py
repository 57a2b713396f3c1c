"""Why nodes are where they are, or nowhere, stands with the operation."""

from workflow_testbed import Bed, steps_named

from domain.operations import OperationState


async def test_the_step_that_reserves_says_why_of_each_host(bed: Bed) -> None:
    bed.ready_host()
    operation = await bed.run(bed.accept_create(count=2).operation)
    assert operation.state is OperationState.SUCCEEDED
    (reserve,) = steps_named(operation, "reserve_nodes")
    assert reserve.note == "1 host: metal takes 2 (0 of the cluster and 0 in all before, 0% full with them)."


async def test_a_cluster_without_room_fails_with_the_reason_of_each_host(bed: Bed) -> None:
    bed.ready_host(uid_ranges=2)
    operation = await bed.run(bed.accept_create(count=3).operation)
    assert (operation.state, operation.error and operation.error.code) == (OperationState.FAILED, "no-room")
    assert operation.error is not None
    assert operation.error.detail.startswith("There is no room for 3 more nodes: 1 host: metal has room for 2")
