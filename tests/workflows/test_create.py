"""Creating a cluster: what it makes, and how it takes it back when a step fails."""

import pytest
from temporalio.client import WorkflowExecutionStatus
from workflow_testbed import Bed, states, steps_named

from domain.clusters import ClusterStatus, Health
from domain.errors import DiskFull, SwarmFailed
from domain.nodes import NodeRole, NodeState
from domain.operations import OperationState, StepState
from domain.overlays import DEFAULT_OVERLAY, OverlayState


@pytest.mark.parametrize("count", [1, 3])
async def test_create_makes_nodes_that_are_members_and_an_overlay_that_was_proved(bed: Bed, count: int) -> None:
    accepted = bed.accept_create("Demo", count)
    operation = await bed.run(accepted)
    assert (operation.state, operation.error) == (OperationState.SUCCEEDED, None)

    cluster = bed.cluster(accepted)
    assert (cluster.status, cluster.health, cluster.node_count) == (ClusterStatus.ACTIVE, Health.HEALTHY, count)
    names = [f"demo-{index}" for index in range(1, count + 1)]
    assert bed.names() == names
    assert bed.members() == set(names)
    assert len(bed.nodes.running) == count
    assert [(node.name, node.role, node.state) for node in bed.node_views(cluster)] == [
        (name, NodeRole.MANAGER if name == "demo-1" else NodeRole.WORKER, NodeState.ACTIVE) for name in names
    ]
    overlay = bed.overlay_views(cluster)[DEFAULT_OVERLAY]
    assert overlay.state is OverlayState.ACTIVE
    assert overlay.verified_at is not None


async def test_create_records_each_step_with_its_node(bed: Bed) -> None:
    operation = await bed.run(bed.accept_create(count=2))
    assert {(step.name, step.node) for step in operation.steps} == {
        ("begin_operation", None),
        ("reserve_nodes", None),
        ("ensure_authority", None),
        ("ensure_segment", None),
        ("ensure_publications", None),
        ("ensure_images", None),
        ("ensure_node", "demo-1"),
        ("ensure_node", "demo-2"),
        ("form_cluster", "demo-1"),
        ("join_node", "demo-2"),
        ("ensure_overlay", None),
        ("verify_overlay", None),
        ("complete_operation", None),
    }
    assert set(states(operation.steps)) == {StepState.SUCCEEDED}
    assert all(step.ended_at is not None and step.attempt == 1 for step in operation.steps)


async def test_workers_boot_while_the_manager_still_does(bed: Bed) -> None:
    held = bed.trouble.hold("nodes.ensure", on="demo-1")
    accepted = bed.accept_create(count=3)
    handle = await bed.start(accepted.operation)
    await held.wait_reached()
    await bed.until(lambda: bed.names() == ["demo-2", "demo-3"])
    assert bed.trouble.count("orchestrator.join") == 0
    held.release()
    assert await bed.end(handle) is WorkflowExecutionStatus.COMPLETED
    assert bed.members() == {"demo-1", "demo-2", "demo-3"}


FAILING_CALLS = [
    ("records.reserve_nodes", None),
    ("pki.authority", None),
    ("pki.client", None),
    ("orchestrator.keys", None),
    ("vault.seal", None),
    ("vault.open", None),
    ("records.put_secret", None),
    ("fabric.ensure_segment", None),
    ("nodes.ensure", "demo-1"),
    ("nodes.ensure", "demo-3"),
    ("orchestrator.node_files", None),
    ("images.ensure", None),
    ("records.set_image", None),
    ("orchestrator.form", None),
    ("orchestrator.join", "demo-2"),
    ("orchestrator.ensure_overlay", None),
    ("orchestrator.verify", None),
    ("records.mark_overlay", None),
    ("records.complete_operation", None),
]
WITHOUT_EFFECT = {"pki", "vault", "orchestrator.node_files", "orchestrator.keys"}
CHANGING_CALLS = [
    (call, on)
    for call, on in FAILING_CALLS
    if not {call, call.partition(".")[0]} & WITHOUT_EFFECT and call != "records.complete_operation"
]
FAILURES = [(*entry, False) for entry in FAILING_CALLS] + [(*entry, True) for entry in CHANGING_CALLS]
READS = {f"records.{name}" for name in ("begin_operation", "cluster", "nodes", "operation_nodes", "node")}
READS |= {f"records.{name}" for name in ("overlay", "secret")}


async def test_the_failures_below_are_of_every_call_that_a_create_makes(bed: Bed) -> None:
    await bed.run(bed.accept_create(count=3))
    assert {call for call, _subject in bed.trouble.calls} - READS == {call for call, _on in FAILING_CALLS}


@pytest.mark.parametrize(("call", "on", "afterwards"), FAILURES)
async def test_a_create_that_fails_at_any_call_leaves_nothing_and_says_why(
    bed: Bed, call: str, on: str | None, *, afterwards: bool
) -> None:
    bed.trouble.fail(call, DiskFull("the pool is full"), on=on, afterwards=afterwards)
    accepted = bed.accept_create(count=3)
    handle = await bed.start(accepted.operation)
    assert await bed.end(handle) is WorkflowExecutionStatus.FAILED

    operation = bed.repository.operation(accepted.operation.id)
    assert operation.state is OperationState.FAILED
    assert operation.error is not None
    assert (operation.error.code, operation.error.title) == (DiskFull.code, DiskFull.title)
    detail = operation.error.detail.removeprefix("metal: ")  # what happened on a host says on which
    assert (detail, operation.error.remedy) == ("the pool is full", DiskFull.default_remedy)
    cluster = bed.cluster(accepted)
    assert (cluster.status, cluster.error) == (ClusterStatus.ERROR, operation.error)
    assert (cluster.health, cluster.node_count) == (Health.UNKNOWN, 0)
    bed.assert_nothing_left()
    failed = [step for step in operation.steps if step.state is StepState.FAILED]
    assert failed
    assert {step.error.code if step.error else None for step in failed} <= {DiskFull.code, "operation-cancelled"}


async def test_a_create_without_room_says_so_at_once(bed: Bed) -> None:
    bed.ready_host(uid_ranges=2)
    operation = await bed.run(bed.accept_create(count=3))
    assert operation.error is not None
    assert operation.error.code == "no-room"
    assert len(steps_named(operation, "reserve_nodes")) == 1
    bed.assert_nothing_left()


async def test_retain_keeps_what_a_failed_create_made_until_it_is_deleted(bed: Bed) -> None:
    bed.trouble.fail("orchestrator.join", DiskFull("full"), on="demo-2")
    accepted = bed.accept_create(count=2, retain=True)
    operation = await bed.run(accepted)
    assert operation.state is OperationState.FAILED
    assert bed.cluster(accepted).status is ClusterStatus.ERROR
    assert bed.names() == ["demo-1", "demo-2"]
    assert bed.fabric.segments
    assert bed.rows("secrets") > 0

    assert (await bed.run(bed.repository.accept_delete(accepted.cluster.id, force=False))).error is None
    bed.assert_nothing_left()


async def test_an_undo_that_fails_keeps_no_other_from_being_done(bed: Bed) -> None:
    bed.trouble.fail("orchestrator.verify", DiskFull("no room to verify"))
    bed.trouble.fail("fabric.remove_segment", DiskFull("the bridge stays"))
    accepted = bed.accept_create(count=2)
    operation = await bed.run(accepted)
    assert operation.error is not None
    assert operation.error.code == DiskFull.code
    assert "no room to verify" in operation.error.detail
    assert "the bridge stays" in operation.error.detail
    assert len(bed.fabric.segments) == 1
    bed.fabric.segments.clear()
    bed.assert_nothing_left()


async def test_a_node_that_can_not_be_removed_keeps_its_place_until_the_sweep(patient_bed: Bed) -> None:
    bed = patient_bed
    bed.trouble.fail("orchestrator.verify", DiskFull("full"))
    bed.trouble.fail("nodes.remove", SwarmFailed("it does not go"), on="demo-2")
    accepted = bed.accept_create(count=3)
    await bed.run(accepted)
    assert bed.names() == ["demo-2"]
    assert [(node.name, node.state) for node in bed.node_views(accepted)] == [("demo-2", NodeState.LEFTOVER)]
    bed.trouble.heal()
    await bed.sweep(grace_s=0)
    bed.assert_nothing_left()


async def test_an_operation_that_has_ended_is_not_run(bed: Bed) -> None:
    accepted = bed.accept_create()
    bed.outbox.mark_lost(accepted.operation.id, DiskFull("it has ended").record())
    handle = await bed.start(accepted.operation)
    assert await bed.end(handle) is WorkflowExecutionStatus.COMPLETED
    assert bed.trouble.calls == [("records.begin_operation", "")]
    assert bed.repository.operation(accepted.operation.id).state is OperationState.FAILED


async def test_an_operation_that_another_run_has_is_not_run(bed: Bed) -> None:
    accepted = bed.accept_create()
    assert bed.records.begin_operation(accepted.operation.id, workflow_id="elsewhere", run_id="another")
    await bed.run(accepted)
    assert bed.trouble.calls == [("records.begin_operation", "")]
    bed.assert_nothing_left()
