"""Attempts of steps: which failures are tried again, what is recorded of each, and what a worker's end does."""

import pytest
from temporalio.client import WorkflowExecutionStatus
from workflow_testbed import Bed, running, states, steps_named

from activities.patience import with_host
from domain import errors
from domain.clusters import ClusterStatus
from domain.errors import MAX_DETAIL_CHARS, CarinaError, DiskFull, StepFailed, SwarmFailed
from domain.operations import OperationState, StepState
from workflows.policies import NODE

CATALOGUE = sorted(
    (
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, StepFailed) and kind.status != 409
    ),
    key=lambda kind: kind.code,
)


@pytest.mark.parametrize("kind", CATALOGUE, ids=lambda kind: kind.code)
async def test_only_what_trying_again_may_heal_is_tried_again(bed: Bed, kind: type[CarinaError]) -> None:
    bed.trouble.fail("nodes.ensure", kind("something went wrong"), times=1)
    accepted = bed.accept_create()
    operation = await bed.run(accepted)
    steps = steps_named(operation, "ensure_node")
    error = with_host(kind("something went wrong"), "metal")
    assert isinstance(error, kind)
    assert steps[0].error == error.record()
    if kind.retryable and kind.code not in NODE.final:
        assert states(steps) == [StepState.FAILED, StepState.SUCCEEDED]
        assert [step.attempt for step in steps] == [1, 2]
        assert bed.cluster(accepted).status is ClusterStatus.ACTIVE
    else:
        assert states(steps) == [StepState.FAILED]
        assert operation.error == steps[0].error
        bed.assert_nothing_left()


async def test_what_does_not_heal_in_its_time_fails_with_its_own_error(patient_bed: Bed) -> None:
    bed = patient_bed
    bed.trouble.fail("orchestrator.verify", SwarmFailed("the swarm is without a leader"))
    operation = await bed.run(bed.accept_create())
    assert operation.error == SwarmFailed("the swarm is without a leader").record()
    assert len(steps_named(operation, "verify_overlay")) > 10
    bed.assert_nothing_left()


@pytest.mark.parametrize("length", [10, 3_000_000])
async def test_an_unforeseen_error_is_tried_again_and_kept_at_a_bounded_length(bed: Bed, length: int) -> None:
    bed.trouble.fail("nodes.ensure", ValueError("x" * length), times=1)
    bed.trouble.fail("orchestrator.form", DiskFull("enough"))
    operation = await bed.run(bed.accept_create())
    first, second = steps_named(operation, "ensure_node")
    assert (first.state, second.state) == (StepState.FAILED, StepState.SUCCEEDED)
    assert first.error is not None
    assert first.error.code == StepFailed.code
    assert first.error.detail.startswith("ValueError")
    assert len(first.error.detail) <= MAX_DETAIL_CHARS


async def test_an_unforeseen_error_that_stays_fails_the_operation_as_a_failed_step(patient_bed: Bed) -> None:
    bed = patient_bed
    bed.trouble.fail("orchestrator.verify", ValueError("no such thing " * 1000))
    operation = await bed.run(bed.accept_create())
    assert operation.error is not None
    assert operation.error.code == StepFailed.code
    assert "ValueError" in operation.error.detail
    assert len(operation.error.detail) <= MAX_DETAIL_CHARS
    bed.assert_nothing_left()


async def test_a_worker_that_stops_in_the_middle_of_a_step_loses_the_attempt_and_no_more(idle_bed: Bed) -> None:
    bed = idle_bed
    held = bed.trouble.hold("nodes.ensure", on="demo-2")
    accepted = bed.accept_create(count=2)
    async with bed.worker():
        handle = await bed.start(accepted.operation)
        await held.wait_reached()
    assert bed.repository.operation(accepted.operation.id).state is OperationState.RUNNING
    bed.trouble.release()
    async with running(bed):
        assert await bed.end(handle) is WorkflowExecutionStatus.COMPLETED
    operation = bed.repository.operation(accepted.operation.id)
    assert (operation.state, operation.error) == (OperationState.SUCCEEDED, None)
    attempts = steps_named(operation, "ensure_node", "demo-2")
    assert states(attempts) == [StepState.LOST, StepState.SUCCEEDED]
    assert attempts[0].error is None
    assert bed.members() == {"demo-1", "demo-2"}


async def test_an_operation_waits_for_a_worker(idle_bed: Bed) -> None:
    accepted = idle_bed.accept_create()
    handle = await idle_bed.start(accepted.operation)
    async with running(idle_bed):
        assert await idle_bed.end(handle) is WorkflowExecutionStatus.COMPLETED
    assert idle_bed.names() == ["demo-1"]
