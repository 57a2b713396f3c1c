"""Hosts that die in the middle of a change: it ends in a bounded time, names the host, and loses nothing elsewhere."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from test_moves import DRAIN, moves, places, without_manager
from test_spanning import addresses, neighbours
from workflow_testbed import Bed, steps_named

from activities import patience
from domain.clusters import ClusterStatus
from domain.errors import DockerSilent, NotFound
from domain.hosts import Host, HostState
from domain.nodes import NodeRole, NodeState
from domain.operations import OperationKind, OperationState
from store.views import OperationView
from workflows import policies


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let steps give up soon, so that the real server can be had: the one that skips time loses cancelled steps."""
    monkeypatch.setattr(patience, "UNREACHABLE_FOR", timedelta(seconds=0.4))
    monkeypatch.setattr(patience, "UNREACHABLE_AGAIN_FOR", timedelta(seconds=0.2))
    shortened = (policies.MEMBERSHIP, policies.REJOIN, policies.OVERLAY, policies.VERIFY)
    known = {policy: policy.all_attempts for policy in shortened}
    for policy in known:
        object.__setattr__(policy, "all_attempts", timedelta(seconds=1))
    yield
    for policy, all_attempts in known.items():
        object.__setattr__(policy, "all_attempts", all_attempts)


async def killed_at(bed: Bed, host: Host, call: str, on: str | None, operation: OperationView) -> OperationView:
    """Run an operation whose call finds the host dead all of a sudden."""
    held = bed.trouble.hold(call, on=on)
    handle = await bed.start(operation)
    await held.wait_reached()
    bed.kill(host)
    bed.trouble.release()
    await bed.end(handle)
    return bed.repository.operation(operation.id)


def carrying(bed: Bed, role: NodeRole) -> Host:
    """Return the host of the first node of that role."""
    plan = next(plan for plan in bed.nodes.plans.values() if plan.role is role)
    return plan.host


async def revived(bed: Bed) -> None:
    """Let all hosts answer again, and sweep."""
    bed.trouble.heal()
    await bed.sweep()
    await bed.sweep()


@pytest.mark.parametrize(
    ("call", "on"),
    [
        ("fabric.ensure_segment", None),
        ("images.ensure", None),
        ("nodes.ensure", "demo-2"),
        ("orchestrator.join", "demo-2"),
        ("fabric.probe", None),
        ("orchestrator.verify", None),
    ],
)
async def test_a_create_is_undone_when_a_host_dies_and_the_sweep_does_the_rest(
    bed: Bed, call: str, on: str | None
) -> None:
    hosts = bed.rack(2)
    accepted = bed.accept_create(count=4)
    operation = await killed_at(bed, hosts[1], call, on, accepted.operation)
    assert operation.state is OperationState.FAILED
    assert operation.error is not None
    assert "rack2" in operation.error.detail or "192.0.2.2" in operation.error.detail
    assert operation.error.remedy
    assert bed.cluster(accepted).status is ClusterStatus.ERROR
    assert bed.cluster(accepted).node_count == 0
    assert {plan.host.name for plan in bed.nodes.plans.values()} <= {"rack2"}
    assert {host for host, _ in bed.fabric.segments} <= {hosts[1].id}
    deleted = await bed.run(bed.repository.accept_delete(accepted.cluster.id, force=False))
    assert deleted.state is OperationState.SUCCEEDED
    await revived(bed)
    bed.assert_nothing_left()


@pytest.mark.parametrize(("call", "on"), [("nodes.ensure", "demo-4"), ("orchestrator.join", "demo-4")])
async def test_a_grow_leaves_the_cluster_as_it_was_when_a_host_of_new_nodes_dies(bed: Bed, call: str, on: str) -> None:
    bed.rack(2)
    cluster = await bed.active(count=2)
    bed.accept_cordon(carrying(bed, NodeRole.WORKER))
    (third,) = [bed.add_host("rack9", "192.0.2.9")]
    bed.accept_cordon(carrying(bed, NodeRole.MANAGER))
    operation = await killed_at(bed, third, call, on, bed.accept_resize(cluster.id, 4).operation)
    assert operation.state is OperationState.FAILED
    assert operation.error is not None
    assert "rack9" in operation.error.detail or "192.0.2.9" in operation.error.detail
    after = bed.cluster(cluster)
    assert (after.status, after.node_count, after.error) == (ClusterStatus.ACTIVE, 2, None)
    assert bed.members() == {"demo-1", "demo-2"}
    left = [node for node in bed.records.nodes(cluster.id) if node.state == NodeState.LEFTOVER]
    assert {node.ref.host for node in left} == {"rack9"}
    assert not any(each.host_address == "192.0.2.9" for known in bed.fabric.neighbours.values() for each in known)
    await revived(bed)
    assert set(neighbours(bed)) == set(addresses(bed, cluster))
    assert {node.state for node in bed.records.nodes(cluster.id)} == {NodeState.ACTIVE}
    assert bed.names() == ["demo-1", "demo-2"]


async def test_a_drain_of_a_host_that_dies_keeps_what_it_replaced_and_leaves_the_rest_to_the_sweep(bed: Bed) -> None:
    hosts = bed.rack(3)
    cluster, drained = await without_manager(bed, hosts)
    held = bed.trouble.hold("orchestrator.leave")
    task = asyncio.create_task(bed.run_task(drained, DRAIN))
    await held.wait_reached()
    bed.kill(drained)
    bed.trouble.release()
    operation = await task
    assert operation.error is not None
    assert operation.error.code == "host-in-use"
    assert f"still on {drained.name}" in operation.error.detail
    after = bed.cluster(cluster)
    assert (after.status, after.node_count) == (ClusterStatus.ACTIVE, 4)
    assert len(bed.members()) == 4
    (move,) = moves(bed, cluster)
    assert move.state is OperationState.SUCCEEDED
    assert set(neighbours(bed)) >= set(addresses(bed, cluster))
    await revived(bed)
    assert neighbours(bed) == {name: known for name, known in addresses(bed, cluster).items() if name != drained.name}
    assert drained.name not in places(bed, cluster).values()
    assert bed.names() == sorted(bed.members())
    assert (await bed.run_task(drained, DRAIN)).error is None


async def test_a_drain_does_nothing_to_a_cluster_when_the_host_of_its_new_nodes_dies(bed: Bed) -> None:
    hosts = bed.rack(3)
    cluster, drained = await without_manager(bed, hosts, count=2)
    target = next(host for host in hosts if host.name not in places(bed, cluster).values())
    bed.accept_cordon(carrying(bed, NodeRole.MANAGER))
    held = bed.trouble.hold("nodes.ensure", on="demo-3")
    task = asyncio.create_task(bed.run_task(drained, DRAIN))
    await held.wait_reached()
    bed.kill(target)
    bed.trouble.release()
    operation = await task
    assert operation.error is not None
    assert f"demo-2 could not be replaced: root@{target.name}: no route to host. Check" in operation.error.detail
    assert bed.members() == {"demo-1", "demo-2"}
    assert bed.cluster(cluster).node_count == 2
    assert bed.cluster(cluster).status is ClusterStatus.ACTIVE


async def test_a_delete_finishes_when_a_host_dies_and_its_leftovers_go_when_it_is_back(bed: Bed) -> None:
    hosts = bed.rack(3)
    cluster = await bed.active(count=6)
    dead = hosts[2]
    held = bed.trouble.hold("nodes.remove")
    operation = bed.repository.accept_delete(cluster.id, force=False).operation
    handle = await bed.start(operation)
    await held.wait_reached()
    bed.kill(dead)
    bed.trouble.release()
    await bed.end(handle)
    assert bed.repository.operation(operation.id).state is OperationState.SUCCEEDED
    with pytest.raises(NotFound):
        bed.cluster(cluster)
    assert {plan.host.name for plan in bed.nodes.plans.values()} == {dead.name}
    assert {host for host, _ in bed.fabric.segments} == {dead.id}
    assert {node.state for node in bed.records.nodes(cluster.id)} == {NodeState.LEFTOVER}
    await revived(bed)
    bed.assert_nothing_left()


async def test_a_sweep_looks_at_the_hosts_that_answer_and_says_which_do_not(bed: Bed) -> None:
    hosts = bed.rack(3)
    cluster = await bed.active(count=3)
    plans = {plan.host.name: plan for plan in bed.nodes.plans.values()}
    for name in ("rack1", "rack2"):
        bed.nodes.plans[f"tst0-demo-9-{name}"] = plans[name]
    bed.kill(hosts[1])
    left_out = await bed.sweep()
    assert [line.partition(":")[0] for line in left_out] == ["rack2"]
    assert "tst0-demo-9-rack1" not in bed.nodes.plans
    assert "tst0-demo-9-rack2" in bed.nodes.plans
    assert bed.cluster(cluster).status is ClusterStatus.ACTIVE


async def test_what_one_cluster_left_on_several_hosts_goes_in_one_sweep(bed: Bed) -> None:
    bed.rack(3)
    cluster = await bed.active(count=3)
    for plan in list(bed.nodes.plans.values()):
        bed.nodes.plans[f"tst0-demo-9-{plan.host.name}"] = plan
    await bed.sweep()
    assert len(bed.nodes.plans) == 3
    assert bed.cluster(cluster).node_count == 3


async def test_a_stopped_node_is_healed_although_another_host_is_dead(bed: Bed) -> None:
    bed.rack(3)
    cluster = await bed.active(count=3)
    dead = next(plan.host for plan in bed.nodes.plans.values() if plan.name == "demo-3")
    bed.nodes.running.discard(next(name for name, plan in bed.nodes.plans.items() if plan.name == "demo-2"))
    bed.kill(dead)
    operation_id = bed.records.accept_heal(cluster.id)
    assert operation_id is not None
    operation = await bed.run(bed.repository.operation(operation_id))
    assert operation.error is None
    assert len(bed.nodes.running) == 3
    assert f"{dead.name} was left out" in str(steps_named(operation, "stopped_members")[0].note)
    assert "demo-3 was left out: demo-3 does not answer" in str(steps_named(operation, "await_members")[0].note)


async def test_a_heal_fails_when_the_engine_of_a_node_that_it_started_stays_silent(bed: Bed) -> None:
    cluster = await bed.active(count=2)
    bed.nodes.running.discard(next(name for name, plan in bed.nodes.plans.items() if plan.name == "demo-2"))
    bed.trouble.fail("orchestrator.start_unattached", DockerSilent("demo-2 does not answer."), on="demo-2")
    operation_id = bed.records.accept_heal(cluster.id)
    assert operation_id is not None
    operation = await bed.run(bed.repository.operation(operation_id))
    assert operation.error is not None
    assert operation.error.detail == "demo-2 does not answer. (demo-2 is on metal)"


async def test_a_stopped_node_is_healed_although_another_host_could_not_be_prepared(bed: Bed) -> None:
    bed.rack(3)
    cluster = await bed.active(count=3)
    plans = {plan.name: plan for plan in bed.nodes.plans.values()}
    bed.records.record_host(replace(plans["demo-3"].host, state=HostState.ERROR), None)
    bed.nodes.running -= {plans["demo-2"].container, plans["demo-3"].container}
    operation_id = bed.records.accept_heal(cluster.id)
    assert operation_id is not None
    operation = await bed.run(bed.repository.operation(operation_id))
    assert operation.error is None
    assert bed.nodes.running == {plans["demo-1"].container, plans["demo-2"].container}
    (look,) = steps_named(operation, "stopped_members")
    assert look.note == f"{plans['demo-3'].host.name} was left out, because it is in error."


async def test_a_host_that_comes_back_is_prepared_with_its_clusters_as_they_are_now(bed: Bed) -> None:
    hosts = bed.rack(2)
    cluster = await bed.active(count=4)
    back = hosts[1]
    bed.fabric.segments = {key: known for key, known in bed.fabric.segments.items() if key[0] != back.id}
    bed.fabric.neighbours = {key: known for key, known in bed.fabric.neighbours.items() if key[0] != back.id}
    ports = bed.fabric.publications.pop(back.id)
    bed.nodes.running -= {name for name, plan in bed.nodes.plans.items() if plan.host.id == back.id}
    operation = await bed.run(bed.accept_task(back, OperationKind.PREPARE_HOST))
    assert operation.error is None
    assert len(bed.nodes.running) == 4
    assert neighbours(bed) == addresses(bed, cluster)
    assert bed.fabric.publications[back.id] == ports


async def test_a_host_that_does_not_answer_is_in_error_after_a_bounded_time(bed: Bed) -> None:
    (host,) = [bed.add_host("rack1", "192.0.2.1", ready=False)]
    bed.kill(host)
    waiting = next(operation for operation in bed.outbox.pending(0.0) if operation.host_id == host.id)
    operation = await bed.run(waiting)
    assert operation.error is not None
    assert operation.error.code == "host-unreachable"
    assert "rack1" in operation.error.detail
    assert bed.records.host(host.id).state is HostState.ERROR
    attempts = steps_named(operation, "ensure_host")
    assert 1 < len(attempts) < 6
