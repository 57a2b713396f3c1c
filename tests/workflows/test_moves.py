"""Draining and removing hosts: nodes go elsewhere, or the host says why they don't; none is lost."""

import asyncio
from contextlib import suppress

import pytest
from workflow_testbed import Bed, steps_named

from domain.clusters import ClusterStatus
from domain.errors import DiskFull, HostInUse, NotFound
from domain.hosts import Host, HostState
from domain.nodes import NodeRole, NodeState
from domain.operations import OperationKind, OperationState
from store.views import ClusterView, OperationView

DRAIN, REMOVE = OperationKind.DRAIN_HOST, OperationKind.REMOVE_HOST


def places(bed: Bed, cluster: ClusterView) -> dict[str, str]:
    """Return the hosts of the cluster's nodes, by the nodes' names."""
    return {node.name: node.host for node in bed.node_views(cluster)}


def moves(bed: Bed, cluster: ClusterView) -> list[OperationView]:
    items = bed.repository.operations(cluster.id, limit=100, marker=None).items
    return [operation for operation in items if operation.kind is OperationKind.MOVE]


async def without_manager(bed: Bed, hosts: list[Host], count: int = 4) -> tuple[ClusterView, Host]:
    """Make a cluster over all the hosts, and return it with a host that has workers of it, and not its manager."""
    cluster = await bed.active(count=count)
    (manager,) = [node.host for node in bed.node_views(cluster) if node.role is NodeRole.MANAGER]
    return cluster, next(host for host in hosts if host.name != manager)


async def test_a_drained_host_is_empty_and_its_clusters_have_as_many_nodes_elsewhere(bed: Bed) -> None:
    hosts = bed.rack(3)
    cluster, drained = await without_manager(bed, hosts)
    before = places(bed, cluster)
    operation = await bed.run_task(drained, DRAIN)
    assert operation.error is None
    after = places(bed, cluster)
    assert drained.name not in after.values()
    assert len(after) == 4
    assert {name for name, host in before.items() if host != drained.name} < set(after)
    assert bed.members() == set(after)
    assert bed.cluster(cluster).node_count == 4
    assert bed.cluster(cluster).status is ClusterStatus.ACTIVE
    assert {node.state for node in bed.node_views(cluster)} == {NodeState.ACTIVE}
    assert not [plan for plan in bed.nodes.plans.values() if plan.host.id == drained.id]
    assert drained.id not in {host for host, _ in bed.fabric.segments}
    assert bed.records.host(drained.id).cordoned
    assert [step.host for step in operation.steps if step.name != "begin_operation"][:2] == [drained.name] * 2
    (move,) = moves(bed, cluster)
    assert move.state is OperationState.SUCCEEDED


async def test_new_nodes_are_proved_before_old_ones_leave(bed: Bed) -> None:
    hosts = bed.rack(3)
    cluster, drained = await without_manager(bed, hosts)
    old = {name for name, host in places(bed, cluster).items() if host == drained.name}
    await bed.run_task(drained, DRAIN)
    calls = [call for call, _subject in bed.trouble.calls]
    assert calls.index("orchestrator.verify") < calls.index("orchestrator.drain") < calls.index("orchestrator.leave")
    assert {subject for call, subject in bed.trouble.calls if call == "nodes.remove"} == old


async def test_a_host_with_a_manager_is_emptied_of_the_rest_and_says_what_keeps_it(bed: Bed) -> None:
    bed.rack(2)
    cluster = await bed.active(count=4)
    (manager,) = [node for node in bed.node_views(cluster) if node.role is NodeRole.MANAGER]
    (host,) = [host for host in bed.records.hosts() if host.name == manager.host]
    operation = await bed.run_task(host, DRAIN)
    assert operation.state is OperationState.FAILED
    assert operation.error is not None
    assert operation.error.code == HostInUse.code
    assert f"1 node is still on {host.name}. demo-1 manages the cluster 'demo'" in operation.error.detail
    assert [name for name, where in places(bed, cluster).items() if where == host.name] == ["demo-1"]
    assert bed.cluster(cluster).node_count == 4
    assert bed.records.host(host.id).cordoned


async def test_a_move_without_room_leaves_the_cluster_as_it_was_and_the_drain_says_so(bed: Bed) -> None:
    hosts = bed.rack(2)
    cluster, drained = await without_manager(bed, hosts, count=2)
    other = next(host for host in hosts if host.id != drained.id)
    bed.accept_cordon(other)
    before = places(bed, cluster)
    operation = await bed.run_task(drained, DRAIN)
    assert operation.error is not None
    assert "demo-2 could not be replaced: There is no room for one more node" in operation.error.detail
    assert places(bed, cluster) == before
    assert bed.members() == {"demo-1", "demo-2"}
    assert {node.state for node in bed.node_views(cluster)} == {NodeState.ACTIVE}
    (move,) = moves(bed, cluster)
    assert move.error is not None
    assert move.error.code == "no-room"


@pytest.mark.parametrize("call", ["nodes.ensure", "orchestrator.join", "orchestrator.verify"])
async def test_a_move_whose_new_nodes_fail_is_undone(bed: Bed, call: str) -> None:
    hosts = bed.rack(3)
    cluster, drained = await without_manager(bed, hosts)
    before = places(bed, cluster)
    bed.trouble.fail(call, DiskFull("the pool is full"))
    operation = await bed.run_task(drained, DRAIN)
    assert operation.error is not None
    assert "the pool is full" in operation.error.detail
    assert places(bed, cluster) == before
    assert bed.members() == set(before)
    assert bed.names() == sorted(before)
    assert bed.trouble.count("orchestrator.drain") == 0
    assert bed.cluster(cluster).status is ClusterStatus.ACTIVE


async def test_an_old_node_that_can_not_be_drained_stays_and_so_do_the_new_ones(bed: Bed) -> None:
    hosts = bed.rack(3)
    cluster, drained = await without_manager(bed, hosts)
    bed.trouble.fail("orchestrator.drain", DiskFull("no room elsewhere"))
    operation = await bed.run_task(drained, DRAIN)
    assert operation.state is OperationState.FAILED
    assert bed.cluster(cluster).node_count > 4
    assert {node.state for node in bed.node_views(cluster)} == {NodeState.ACTIVE}
    assert bed.members() == set(places(bed, cluster))
    assert bed.trouble.count("orchestrator.undrain") > 0
    bed.trouble.heal()
    assert (await bed.run_task(drained, DRAIN)).error is None


async def test_a_drain_waits_for_a_cluster_that_is_being_changed(bed: Bed) -> None:
    hosts = bed.rack(3)
    cluster, drained = await without_manager(bed, hosts)
    held = bed.trouble.hold("orchestrator.verify")
    growing = await bed.start(bed.accept_resize(cluster.id, 5).operation)
    await held.wait_reached()
    waited: list[OperationView] = []

    async def drain() -> None:
        waited.append(await bed.run_task(drained, DRAIN))

    task = asyncio.create_task(drain())
    await bed.until(lambda: bed.trouble.count("records.awaited_clusters") > 1)
    assert moves(bed, cluster) == []
    held.release()
    bed.trouble.release()
    await bed.end(growing)
    await task
    assert waited[0].error is None
    assert drained.name not in places(bed, cluster).values()
    assert bed.cluster(cluster).node_count == 5


async def test_an_empty_host_is_removed_and_others_let_nodes_reach_what_has_its_address_now(bed: Bed) -> None:
    hosts = bed.rack(3)
    await bed.run(bed.accept_task(hosts[0], OperationKind.PREPARE_HOST))
    assert bed.fabric.guarded[hosts[1].id] == {"192.0.2.1/32", "192.0.2.3/32"}
    operation = await bed.run_task(hosts[0], REMOVE)
    assert operation.error is None
    with pytest.raises(NotFound):
        bed.records.host(hosts[0].id)
    assert bed.hosts.released == [hosts[0].id]
    assert bed.fabric.guarded[hosts[1].id] == {"192.0.2.3/32"}


async def test_a_host_that_does_not_answer_is_removed_only_by_force(patient_bed: Bed) -> None:
    bed = patient_bed
    hosts = bed.rack(3)
    bed.kill(hosts[2])
    operation = await bed.run_task(hosts[2], REMOVE)
    assert operation.error is not None
    assert operation.error.code == "host-unreachable"
    assert "rack3" in operation.error.detail
    assert bed.records.host(hosts[2].id).state is HostState.ERROR
    operation = await bed.run_task(hosts[2], REMOVE, force=True)
    assert operation.error is None
    with pytest.raises(NotFound):
        bed.records.host(hosts[2].id)


async def test_workers_on_a_dead_host_are_replaced_when_it_is_removed_by_force(patient_bed: Bed) -> None:
    bed = patient_bed
    hosts = bed.rack(3)
    cluster, dead = await without_manager(bed, hosts)
    lost = {name for name, host in places(bed, cluster).items() if host == dead.name}
    bed.kill(dead)
    operation = await bed.run_task(dead, REMOVE, force=True)
    assert operation.error is None
    after = places(bed, cluster)
    assert len(after) == 4
    assert lost.isdisjoint(after)
    assert bed.members() == set(after)
    assert bed.cluster(cluster).status is ClusterStatus.ACTIVE
    assert bed.cluster(cluster).node_count == 4
    elsewhere = {each.host_address for known in bed.fabric.neighbours.values() for each in known}
    assert elsewhere == {host.fabric_address for host in hosts if host is not dead}
    assert steps_named(operation, "move_nodes")[0].host == dead.name


async def test_what_can_not_replace_a_dead_hosts_workers_does_not_keep_it(patient_bed: Bed) -> None:
    bed = patient_bed
    hosts = bed.rack(2)
    cluster, dead = await without_manager(bed, hosts)
    bed.accept_cordon(next(host for host in hosts if host is not dead))
    bed.kill(dead)
    operation = await bed.run_task(dead, REMOVE, force=True)
    assert operation.error is None
    assert "could not be replaced" in str(steps_named(operation, "move_nodes")[0].note)
    after = bed.cluster(cluster)
    assert (after.status, after.node_count) == (ClusterStatus.ACTIVE, 2)
    assert bed.members() == set(places(bed, cluster))
    assert dead.name not in places(bed, cluster).values()
    (move,) = moves(bed, cluster)
    assert move.error is not None
    assert "went with the dead host" in move.error.detail
    assert "grow the cluster" in move.error.remedy


async def test_a_cluster_whose_manager_was_on_a_dead_host_says_so_and_can_be_deleted(patient_bed: Bed) -> None:
    bed = patient_bed
    hosts = bed.rack(2)
    cluster = await bed.active(count=3)
    dead = next(host for host in hosts if host.name == places(bed, cluster)["demo-1"])
    bed.kill(dead)
    operation = await bed.run_task(dead, REMOVE, force=True)
    assert operation.error is None
    after = bed.cluster(cluster)
    assert after.status is ClusterStatus.ERROR
    assert after.error is not None
    assert after.error.code == "manager-lost"
    assert f"demo-1 managed it, on the host {dead.name}" in after.error.detail
    assert moves(bed, cluster) == []
    deleted = await bed.run(bed.repository.accept_delete(cluster.id, force=False))
    assert deleted.state is OperationState.SUCCEEDED
    assert bed.rows("nodes") == 0
    with suppress(KeyError):
        del bed.fabric.publications[dead.id]
    left = {plan.host.name for plan in bed.nodes.plans.values()}
    assert left == {dead.name}, "what is on the dead host is beyond reach"


async def test_a_forced_delete_pushes_a_move_aside_and_the_drain_goes_on(bed: Bed) -> None:
    hosts = bed.rack(3)
    cluster, drained = await without_manager(bed, hosts)
    held = bed.trouble.hold("orchestrator.join")
    task = asyncio.create_task(bed.run_task(drained, DRAIN))
    await held.wait_reached()
    deleting = bed.repository.accept_delete(cluster.id, force=True)
    (move,) = moves(bed, cluster)
    moving = bed.started[-1]
    await moving.cancel()
    await bed.end(moving)
    assert bed.repository.operation(move.id).state is OperationState.CANCELLED
    assert (await bed.run(deleting)).state is OperationState.SUCCEEDED
    assert (await task).error is None
    bed.assert_nothing_left()


async def test_a_drain_that_is_cancelled_lets_moves_under_way_go_on(bed: Bed) -> None:
    hosts = bed.rack(3)
    cluster, drained = await without_manager(bed, hosts)
    held = bed.trouble.hold("orchestrator.join")
    task = asyncio.create_task(bed.run_task(drained, DRAIN))
    await held.wait_reached()
    await bed.client.get_workflow_handle(f"host-{drained.id}").cancel()
    assert (await task).state is OperationState.CANCELLED
    held.release()
    bed.trouble.release()
    await bed.end(bed.started[-1])
    (move,) = moves(bed, cluster)
    assert move.state is OperationState.SUCCEEDED
    assert drained.name not in places(bed, cluster).values()
    assert bed.cluster(cluster).node_count == 4
