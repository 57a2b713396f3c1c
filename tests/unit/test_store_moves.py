"""Moves in the store: who goes, who is waited for, what stays behind, and what a host takes with it."""

import pytest

from domain.clusters import ClusterStatus
from domain.errors import Conflict, ErrorRecord, NotFound, StepFailed
from domain.hosts import Host, HostState
from domain.nodes import NodeState
from domain.operations import OperationKind, OperationState
from store.host_admin import HostAdmin
from store.views import Accepted, ClusterView
from tests.unit.store_hosts import ready
from tests.unit.store_stages import StoreFixture

FAILED = ErrorRecord("no-room", "No host has room for the nodes", "There is no room.", "Add a host.")


@pytest.fixture
def admin(store: StoreFixture) -> HostAdmin:
    return HostAdmin(store.engine)


@pytest.fixture
def hosts(store: StoreFixture, admin: HostAdmin) -> list[Host]:
    return [ready(store, admin, f"rack{number}", f"192.0.2.{number}") for number in (1, 2)]


def active(store: StoreFixture, name: str = "demo", node_count: int = 4) -> ClusterView:
    accepted, _ = store.reserved(name, node_count)
    store.records.complete_operation(accepted.operation.id)
    return store.repository.cluster(accepted.cluster.id)


def drain(store: StoreFixture, admin: HostAdmin, host: Host) -> str:
    operation = admin.accept_task(host.id, OperationKind.DRAIN_HOST).operation
    assert store.records.begin_operation(operation.id, workflow_id=operation.workflow_id, run_id=operation.id)
    return operation.id


def begin(store: StoreFixture, operation_id: str) -> str:
    assert store.records.begin_operation(operation_id, workflow_id="cluster", run_id=operation_id)
    return operation_id


def named(store: StoreFixture, cluster: ClusterView, host: Host) -> set[str]:
    return {node.ref.name for node in store.records.nodes(cluster.id) if node.plan.host.id == host.id}


def test_each_idle_cluster_with_workers_on_the_host_is_moved_once(
    store: StoreFixture, admin: HostAdmin, hosts: list[Host]
) -> None:
    first, second = active(store), active(store, "other")
    operation = drain(store, admin, hosts[1])
    moves = store.records.accept_moves(operation, hosts[1].id, dead=False)
    assert len(moves) == 2
    assert store.records.accept_moves(operation, hosts[1].id, dead=False) == moves
    views = [store.repository.operation(move) for move in moves]
    assert {view.cluster_id for view in views} == {first.id, second.id}
    assert {view.params["host_id"] for view in views} == {hosts[1].id}
    assert store.repository.cluster(first.id).status is ClusterStatus.RESIZING
    assert store.records.awaited_clusters(operation, hosts[1].id) == []
    assert store.records.operation_ended(moves[0]) == (False, None)


def test_a_busy_cluster_is_awaited_and_moved_when_it_is_idle(
    store: StoreFixture, admin: HostAdmin, hosts: list[Host]
) -> None:
    cluster = active(store)
    grow = store.repository.accept_resize(cluster.id, 5)
    assert grow is not None
    operation = drain(store, admin, hosts[1])
    assert store.records.accept_moves(operation, hosts[1].id, dead=False) == []
    assert store.records.awaited_clusters(operation, hosts[1].id) == ["demo"]
    store.records.complete_operation(grow.operation.id)
    assert store.records.awaited_clusters(operation, hosts[1].id) == []
    assert len(store.records.accept_moves(operation, hosts[1].id, dead=False)) == 1


def test_a_move_takes_the_workers_on_its_host_and_gives_them_back_when_it_fails(
    store: StoreFixture, admin: HostAdmin, hosts: list[Host]
) -> None:
    cluster = active(store)
    (move,) = store.records.accept_moves(drain(store, admin, hosts[1]), hosts[1].id, dead=False)
    begin(store, move)
    chosen = store.records.choose_moves(move)
    assert {node.name for node in chosen} == named(store, cluster, hosts[1])
    assert store.records.choose_moves(move) == chosen
    new = store.records.reserve_nodes(move, len(chosen))
    assert {node.host for node in new} == {"rack1"}
    store.records.release_nodes(cluster.id, [node.id for node in new])
    store.records.fail_operation(move, FAILED, cancelled=False)
    after = store.repository.cluster(cluster.id)
    assert (after.status, after.node_count) == (ClusterStatus.ACTIVE, 4)
    assert {node.state for node in store.records.nodes(cluster.id)} == {NodeState.ACTIVE}
    assert store.records.operation_ended(move) == (True, FAILED)


def test_new_nodes_that_were_admitted_stay_whatever_happens_then(
    store: StoreFixture, admin: HostAdmin, hosts: list[Host]
) -> None:
    cluster = active(store)
    (move,) = store.records.accept_moves(drain(store, admin, hosts[1]), hosts[1].id, dead=False)
    begin(store, move)
    old = store.records.choose_moves(move)
    store.records.reserve_nodes(move, len(old))
    store.records.admit_nodes(move)
    store.records.admit_nodes(move)
    assert store.repository.cluster(cluster.id).node_count == 4 + len(old)
    store.records.fail_operation(move, FAILED, cancelled=False)
    assert store.repository.cluster(cluster.id).node_count == 4 + len(old)
    assert {node.state for node in store.records.nodes(cluster.id)} == {NodeState.ACTIVE}
    with pytest.raises(Conflict):
        store.records.admit_nodes(move)


def test_what_is_stuck_is_said_of_each_node_with_what_helps(
    store: StoreFixture, admin: HostAdmin, hosts: list[Host]
) -> None:
    cluster = active(store, node_count=2)
    (manager,) = [host for host in hosts if named(store, cluster, host) == {"demo-1"}]
    other = next(host for host in hosts if host is not manager)
    (sentence,) = store.records.stuck_on_host(manager.id)
    assert sentence.startswith("demo-1 manages the cluster 'demo', and managers can't be moved: ")
    (move,) = store.records.accept_moves(drain(store, admin, other), other.id, dead=False)
    store.records.fail_operation(begin(store, move), FAILED, cancelled=False)
    assert store.records.stuck_on_host(other.id) == ["demo-2 could not be replaced: There is no room. Add a host."]
    store.records.mark_nodes_leftover(cluster.id, [store.records.nodes(cluster.id)[1].ref.id])
    (left,) = store.records.leftovers(other.id)
    assert left.cluster_id == cluster.id
    (sentence,) = store.records.stuck_on_host(other.id)
    assert "a sweep removes it" in sentence


def remove(store: StoreFixture, admin: HostAdmin, host: Host, *, force: bool) -> str:
    operation = admin.accept_task(host.id, OperationKind.REMOVE_HOST, force=force).operation
    assert store.records.begin_operation(operation.id, workflow_id=operation.workflow_id, run_id=operation.id)
    return operation.id


def test_a_cluster_whose_manager_is_on_a_dead_host_is_not_moved_but_goes_into_error(
    store: StoreFixture, admin: HostAdmin, hosts: list[Host]
) -> None:
    cluster = active(store, node_count=3)
    (manager,) = [host for host in hosts if "demo-1" in named(store, cluster, host)]
    operation = remove(store, admin, manager, force=True)
    assert store.records.accept_moves(operation, manager.id, dead=True) == []
    assert store.records.forget_host(manager.id) == [cluster.id]
    after = store.repository.cluster(cluster.id)
    assert after.status is ClusterStatus.ERROR
    assert after.error is not None
    assert (after.error.code, after.node_count) == ("manager-lost", 1)
    with pytest.raises(NotFound):
        store.records.host(manager.id)
    assert store.records.forget_host(manager.id) == []
    store.records.complete_operation(operation)
    assert store.repository.operation(operation).state is OperationState.SUCCEEDED
    assert store.repository.accept_delete(cluster.id, force=False).operation.kind is OperationKind.DELETE


def test_a_host_is_not_forgotten_while_a_cluster_with_nodes_there_is_changed(
    store: StoreFixture, admin: HostAdmin, hosts: list[Host]
) -> None:
    cluster = active(store)
    accepted: Accepted | None = store.repository.accept_resize(cluster.id, 5)
    assert accepted is not None
    remove(store, admin, hosts[1], force=True)
    with pytest.raises(StepFailed, match=accepted.operation.id):
        store.records.forget_host(hosts[1].id)
    assert store.records.host(hosts[1].id).state is HostState.REMOVING


def test_what_a_deleted_cluster_left_on_a_forgotten_host_is_released(
    store: StoreFixture, admin: HostAdmin, hosts: list[Host]
) -> None:
    cluster = active(store, node_count=2)
    delete = store.repository.accept_delete(cluster.id, force=False)
    store.begin(delete)
    nodes = store.records.nodes(cluster.id)
    gone = [node.ref.id for node in nodes if node.plan.host.id != hosts[1].id]
    store.records.release_nodes(cluster.id, gone)
    store.records.mark_nodes_leftover(cluster.id, [node.ref.id for node in nodes if node.ref.id not in gone])
    store.records.complete_operation(delete.operation.id)
    remove(store, admin, hosts[1], force=True)
    assert store.records.forget_host(hosts[1].id) == []
    assert store.records.nodes(cluster.id) == []


def test_a_removal_that_fails_leaves_a_host_that_can_be_prepared_or_removed_again(
    store: StoreFixture, admin: HostAdmin, hosts: list[Host]
) -> None:
    operation = remove(store, admin, hosts[1], force=False)
    store.records.fail_operation(operation, FAILED, cancelled=False)
    assert store.records.host(hosts[1].id).state is HostState.ERROR
    assert admin.accept_task(hosts[1].id, OperationKind.REMOVE_HOST, force=True).operation.id != operation
