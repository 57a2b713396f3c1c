"""What the watch over running clusters reads, and the heals that are accepted for it."""

from dataclasses import replace

from domain.clusters import ClusterStatus, Condition, Health
from domain.errors import ErrorRecord
from domain.hosts import HostState
from domain.operations import OperationKind, OperationState
from domain.watch import HEALS_KEPT
from store.host_admin import HostAdmin
from store.hosts import ensure_local_host
from tests.unit.store_stages import StoreFixture, at_once

ERROR = ErrorRecord("step-failed", "A step failed", "it broke", "mend it")


def _begin(store: StoreFixture, operation_id: str) -> None:
    operation = store.repository.operation(operation_id)
    assert store.records.begin_operation(operation_id, workflow_id=operation.workflow_id, run_id=f"run-{operation_id}")


def _heal(store: StoreFixture, cluster_id: str, error: ErrorRecord | None = None) -> str:
    operation_id = store.records.accept_heal(cluster_id)
    assert operation_id is not None
    _begin(store, operation_id)
    if error is None:
        store.records.complete_operation(operation_id)
    else:
        store.records.fail_operation(operation_id, error, cancelled=False)
    return operation_id


def test_a_heal_leaves_the_cluster_active_and_takes_what_was_said_of_stopped_nodes(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active(node_count=1)
    stopped = Condition("node-stopped", "demo-1 is stopped", "2026-01-01T00:00:00Z", "demo-1")
    gone = Condition("node-missing", "demo-2 is gone", "2026-01-01T00:00:00Z", "demo-2")
    store.records.set_conditions(cluster.id, [stopped, gone])
    operation_id = store.records.accept_heal(cluster.id)
    assert operation_id is not None
    operation = store.repository.operation(operation_id)
    assert (operation.kind, operation.params, operation.tenant_id) == (OperationKind.HEAL, {}, cluster.tenant_id)
    assert (operation.state, operation.workflow_id) == (OperationState.PENDING, f"cluster-{cluster.id}")
    assert store.repository.cluster(cluster.id).status is ClusterStatus.ACTIVE
    _begin(store, operation_id)
    store.records.complete_operation(operation_id)
    after = store.repository.cluster(cluster.id)
    assert (after.status, after.conditions, after.health) == (ClusterStatus.ACTIVE, (gone,), Health.DEGRADED)
    store.records.set_conditions(cluster.id, [stopped])
    _heal(store, cluster.id)
    assert store.repository.cluster(cluster.id).health is Health.HEALTHY


def test_a_heal_that_fails_leaves_the_cluster_as_it_was(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active(node_count=1)
    stopped = Condition("node-stopped", "demo-1 is stopped", "2026-01-01T00:00:00Z", "demo-1")
    store.records.set_conditions(cluster.id, [stopped])
    _heal(store, cluster.id, ERROR)
    after = store.repository.cluster(cluster.id)
    assert (after.status, after.health, after.conditions) == (ClusterStatus.ACTIVE, Health.DEGRADED, (stopped,))
    assert after.error is None


def test_only_an_active_cluster_that_nothing_changes_is_healed(store: StoreFixture) -> None:
    store.ready_host()
    assert store.records.accept_heal("no-such-cluster") is None
    accepted = store.create("new")
    assert store.records.accept_heal(accepted.cluster.id) is None
    store.records.fail_operation(store.begin(accepted), ERROR, cancelled=False)
    assert store.records.accept_heal(accepted.cluster.id) is None
    cluster = store.active(node_count=1)
    assert store.records.accept_heal(cluster.id) is not None
    assert store.records.accept_heal(cluster.id) is None
    deletion = store.repository.accept_delete(cluster.id, force=True)
    assert store.records.accept_heal(cluster.id) is None
    store.records.complete_operation(store.begin(deletion))
    assert store.records.accept_heal(cluster.id) is None


def test_one_of_many_heals_is_accepted(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active(node_count=1)
    results = at_once([lambda: store.records.accept_heal(cluster.id)] * 6)
    assert sum(result is not None for result in results) == 1


def test_the_watch_sees_active_clusters_that_nothing_changes(store: StoreFixture) -> None:
    store.ready_host()
    store.create("new")
    quiet, busy = store.active("quiet", 2), store.active("busy", 1)
    condition = Condition("node-missing", "quiet-2 is gone", "2026-01-01T00:00:00Z", "quiet-2")
    store.records.set_conditions(quiet.id, [condition])
    heals = [_heal(store, quiet.id, ERROR if number % 2 else None) for number in range(HEALS_KEPT + 2)]
    _heal(store, busy.id)
    assert [watched.facts.name for watched in store.records.watched_clusters()] == ["quiet", "busy"]
    assert store.repository.accept_resize(busy.id, 2) is not None
    (watched,) = store.records.watched_clusters()
    assert watched.facts == store.records.cluster(quiet.id)
    assert list(watched.nodes) == list(store.records.nodes(quiet.id))
    store.records.set_conditions(quiet.id, [condition])
    (watched,) = store.records.watched_clusters()
    assert list(watched.conditions) == [condition]
    ended = [store.repository.operation(heal) for heal in reversed(heals)][:HEALS_KEPT]
    assert [(heal.state, heal.ended_at, heal.error) for heal in watched.heals] == [
        (operation.state, operation.ended_at, operation.error) for operation in ended
    ]


def test_the_watch_sees_members_only(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active(node_count=2)
    manager, worker = store.records.nodes(cluster.id)
    store.records.mark_nodes_leftover(cluster.id, [worker.ref.id])
    (watched,) = store.records.watched_clusters()
    assert [node.ref for node in watched.nodes] == [manager.ref]


def test_the_watch_sees_ready_hosts_that_nothing_changes(store: StoreFixture) -> None:
    host = ensure_local_host(store.engine, root="/a", name="metal")
    assert store.records.watched_hosts() == []
    store.records.record_host(replace(host, state=HostState.READY), None)
    assert [found.id for found in store.records.watched_hosts()] == [host.id]
    operation = store.outbox.accept_prepare_host(host.id)
    assert store.records.watched_hosts() == []
    assert store.records.accept_bring_up(host.id) is None
    _begin(store, operation.id)
    store.records.complete_operation(operation.id)
    drain = HostAdmin(store.engine).accept_task(host.id, OperationKind.DRAIN_HOST).operation
    assert [found.id for found in store.records.watched_hosts()] == [host.id], "a drained one carries nodes for long"
    assert store.records.accept_bring_up(host.id) is None
    _begin(store, drain.id)
    store.records.complete_operation(drain.id)
    assert store.records.accept_bring_up(host.id) is not None
    assert store.records.accept_bring_up("gone") is None
