"""What activities read and write: reservations, outcomes, steps, secrets, hosts."""

import inspect
from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from activities.record_ports import Progress, Records
from domain.clusters import ClusterStatus, Condition, Health
from domain.errors import Conflict, ErrorRecord, HostNotReady, NoRoom, NotFound
from domain.hosts import Check, CheckState, Claim, HostReport, HostState
from domain.nodes import NodeRole, NodeState
from domain.operations import OperationKind, OperationState, StepState
from domain.overlays import Overlay
from store.columns import now
from store.hosts import ensure_local_host, host_report
from store.records import StoreRecords
from store.tables import Table
from store.views import Accepted
from tests.unit.store_stages import StoreFixture

ERROR = ErrorRecord("step-failed", "A step failed", "it broke", "mend it")


def _grow(store: StoreFixture, cluster_id: str, to: int) -> Accepted:
    accepted = store.repository.accept_resize(cluster_id, to)
    assert accepted is not None
    return accepted


@pytest.mark.parametrize("port", [Records, Progress])
def test_the_records_fit_the_ports_of_activities(port: type) -> None:
    for name, wanted in inspect.getmembers(port, inspect.isfunction):
        if not name.startswith("_"):
            assert inspect.signature(getattr(StoreRecords, name)) == inspect.signature(wanted), name


def test_reserving_gives_each_node_all_that_it_needs(store: StoreFixture) -> None:
    host = store.ready_host(mtu=1500)
    accepted, nodes = store.reserved("Demo", 3)
    assert [(node.name, node.role, node.host) for node in nodes] == [
        ("demo-1", NodeRole.MANAGER, "metal"),
        ("demo-2", NodeRole.WORKER, "metal"),
        ("demo-3", NodeRole.WORKER, "metal"),
    ]
    facts = store.records.nodes(accepted.cluster.id)
    assert [fact.ref for fact in facts] == list(nodes)
    plan = facts[1].plan
    assert (plan.address, plan.uid_base, plan.veth) == ("10.64.0.11", 1_000_065_536, "tst0-0n2")
    assert (plan.segment.bridge, plan.segment.cidr, plan.segment.gateway) == ("tst0-br0", "10.64.0.0/24", "10.64.0.1")
    assert (plan.segment.mtu, plan.segment.pod_cidr, plan.image, plan.host) == (1450, "", "", host)
    assert plan.container.startswith("tst0-demo-2-")
    assert (plan.stamp.instance, plan.stamp.cluster_id, plan.stamp.node_id) == (
        "tst0",
        accepted.cluster.id,
        nodes[1].id,
    )
    assert store.records.node(nodes[1].id) == facts[1]
    assert store.records.cluster(accepted.cluster.id).segment == plan.segment
    assert store.records.overlay(accepted.cluster.id, "carina") == Overlay("carina", "10.48.0.0/24", 1400)
    assert store.repository.cluster(accepted.cluster.id).node_count == 3


def test_reserving_again_returns_the_same_nodes(store: StoreFixture) -> None:
    store.ready_host()
    accepted, nodes = store.reserved()
    assert store.records.reserve_nodes(accepted.operation.id, 3) == nodes
    assert store.records.operation_nodes(accepted.operation.id) == nodes
    assert len(store.records.nodes(accepted.cluster.id)) == 3


def test_reserving_says_which_host_can_not_and_leaves_nothing(store: StoreFixture) -> None:
    accepted = store.create(node_count=3)
    operation_id = store.begin(accepted)
    with pytest.raises(HostNotReady, match="no hosts"):
        store.records.reserve_nodes(operation_id, 3)
    host = store.ready_host(uid_ranges=2)
    with pytest.raises(NoRoom, match="metal has room for 2"):
        store.records.reserve_nodes(operation_id, 3)
    store.records.record_host(replace(host, state=HostState.ERROR), None)
    with pytest.raises(HostNotReady, match="metal is in error"):
        store.records.reserve_nodes(operation_id, 1)
    assert store.records.cluster(accepted.cluster.id).segment is None
    assert store.records.nodes(accepted.cluster.id) == []


def test_an_ended_operation_reserves_nothing(store: StoreFixture) -> None:
    store.ready_host()
    accepted = store.create()
    store.records.fail_operation(store.begin(accepted), ERROR, cancelled=False)
    with pytest.raises(Conflict, match="ended"):
        store.records.reserve_nodes(accepted.operation.id, 3)


def test_begin_is_for_one_run(store: StoreFixture) -> None:
    accepted = store.create()
    operation = accepted.operation
    begin = store.records.begin_operation
    assert begin(operation.id, workflow_id=operation.workflow_id, run_id="one")
    assert begin(operation.id, workflow_id=operation.workflow_id, run_id="one")
    assert not begin(operation.id, workflow_id=operation.workflow_id, run_id="two")
    view = store.repository.operation(operation.id)
    assert (view.state, view.run_id) == (OperationState.RUNNING, "one")
    assert view.started_at is not None
    store.records.complete_operation(operation.id)
    assert not begin(operation.id, workflow_id=operation.workflow_id, run_id="one")


def test_an_operation_cancelled_before_it_began_never_begins(store: StoreFixture) -> None:
    accepted = store.create()
    deletion = store.repository.accept_delete(accepted.cluster.id, force=True)
    operation = accepted.operation
    assert not store.records.begin_operation(operation.id, workflow_id=operation.workflow_id, run_id="one")
    view = store.repository.operation(operation.id)
    assert view.state is OperationState.CANCELLED
    assert view.error is not None
    cluster = store.repository.cluster(accepted.cluster.id)
    assert (cluster.status, cluster.error) == (ClusterStatus.DELETING, None)
    store.records.complete_operation(store.begin(deletion))


def test_a_delete_that_begins_ends_what_it_pushed_aside(store: StoreFixture) -> None:
    accepted = store.create()
    deletion = store.repository.accept_delete(accepted.cluster.id, force=True)
    store.begin(deletion)
    assert store.repository.operation(accepted.operation.id).state is OperationState.CANCELLED
    assert [operation.id for operation in store.outbox.running()] == [deletion.operation.id]


def test_create_completes(store: StoreFixture) -> None:
    store.ready_host()
    accepted, _ = store.reserved()
    store.records.complete_operation(accepted.operation.id)
    store.records.complete_operation(accepted.operation.id)
    cluster = store.repository.cluster(accepted.cluster.id)
    assert (cluster.status, cluster.health, cluster.node_count) == (ClusterStatus.ACTIVE, Health.HEALTHY, 3)
    assert (cluster.endpoint, cluster.operation_id) == ("tcp://10.64.0.10:2376", None)
    nodes = store.repository.nodes(cluster.id, limit=10, marker=None).items
    assert {node.state for node in nodes} == {NodeState.ACTIVE}
    store.records.fail_operation(accepted.operation.id, ERROR, cancelled=False)
    assert store.repository.cluster(cluster.id).status is ClusterStatus.ACTIVE


@pytest.mark.parametrize("retain", [False, True])
def test_a_failed_create_says_why_and_counts_what_remains(store: StoreFixture, *, retain: bool) -> None:
    store.ready_host()
    accepted, nodes = store.reserved()
    if not retain:
        store.records.release_nodes(accepted.cluster.id, [node.id for node in nodes])
        assert store.repository.cluster(accepted.cluster.id).node_count == 3
    for _ in range(2):
        store.records.fail_operation(accepted.operation.id, ERROR, cancelled=False)
    cluster = store.repository.cluster(accepted.cluster.id)
    assert (cluster.status, cluster.error, cluster.node_count) == (ClusterStatus.ERROR, ERROR, 3 if retain else 0)
    assert len(store.repository.overlays(cluster.id, limit=5, marker=None).items) == (1 if retain else 0)
    assert store.repository.operation(accepted.operation.id).error == ERROR


def test_grow_counts_its_nodes_only_once_it_has_succeeded(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active(node_count=2)
    grow = _grow(store, cluster.id, 4)
    nodes = store.records.reserve_nodes(store.begin(grow), 2)
    assert [node.name for node in nodes] == ["demo-3", "demo-4"]
    assert store.repository.cluster(cluster.id).node_count == 2
    store.records.complete_operation(grow.operation.id)
    grown = store.repository.cluster(cluster.id)
    assert (grown.status, grown.node_count) == (ClusterStatus.ACTIVE, 4)


def test_grow_leaves_the_count_when_a_host_is_full(store: StoreFixture) -> None:
    store.ready_host(uid_ranges=3)
    cluster = store.active(node_count=2)
    grow = _grow(store, cluster.id, 4)
    with pytest.raises(NoRoom):
        store.records.reserve_nodes(store.begin(grow), 2)
    store.records.fail_operation(grow.operation.id, ERROR, cancelled=False)
    after = store.repository.cluster(cluster.id)
    assert (after.status, after.node_count, after.error, after.health) == (
        ClusterStatus.ACTIVE,
        2,
        None,
        Health.HEALTHY,
    )


def test_a_lost_grow_leaves_its_nodes_to_the_sweep(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active(node_count=1)
    grow = _grow(store, cluster.id, 2)
    (node,) = store.records.reserve_nodes(store.begin(grow), 1)
    store.outbox.mark_lost(grow.operation.id, ERROR)
    store.outbox.mark_lost(grow.operation.id, ERROR)
    assert store.records.node(node.id).state == NodeState.LEFTOVER
    after = store.repository.cluster(cluster.id)
    assert (after.status, after.node_count) == (ClusterStatus.ACTIVE, 1)
    assert store.repository.operation(grow.operation.id).state is OperationState.FAILED


def test_shrink_takes_the_newest_workers_and_counts_as_they_go(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active(node_count=4)
    shrink = _grow(store, cluster.id, 2)
    operation_id = store.begin(shrink)
    chosen = store.records.choose_removals(operation_id, 2)
    assert [node.name for node in chosen] == ["demo-3", "demo-4"]
    assert store.records.choose_removals(operation_id, 2) == chosen
    assert store.repository.cluster(cluster.id).node_count == 4
    store.records.release_nodes(cluster.id, [chosen[0].id])
    assert store.repository.cluster(cluster.id).node_count == 3
    store.records.release_nodes(cluster.id, [node.id for node in chosen])
    store.records.complete_operation(operation_id)
    after = store.repository.cluster(cluster.id)
    assert (after.status, after.node_count) == (ClusterStatus.ACTIVE, 2)


def test_a_failed_shrink_keeps_the_nodes_that_are_still_there(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active(node_count=4)
    shrink = _grow(store, cluster.id, 2)
    chosen = store.records.choose_removals(store.begin(shrink), 2)
    store.records.release_nodes(cluster.id, [chosen[1].id])
    store.records.fail_operation(shrink.operation.id, ERROR, cancelled=True)
    after = store.repository.cluster(cluster.id)
    assert (after.status, after.node_count) == (ClusterStatus.ACTIVE, 3)
    assert {fact.state for fact in store.records.nodes(cluster.id)} == {NodeState.ACTIVE}
    assert store.repository.operation(shrink.operation.id).state is OperationState.CANCELLED


def test_the_manager_is_never_removed_by_a_shrink(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active(node_count=2)
    shrink = _grow(store, cluster.id, 1)
    with pytest.raises(Conflict, match="1 workers"):
        store.records.choose_removals(store.begin(shrink), 2)


def test_delete_frees_everything_and_its_network_is_used_again(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active()
    store.records.put_secret(cluster.id, "authority", b"sealed")
    deletion = store.repository.accept_delete(cluster.id, force=False)
    store.records.complete_operation(store.begin(deletion))
    with pytest.raises(NotFound):
        store.repository.cluster(cluster.id)
    with pytest.raises(NotFound):
        store.records.cluster(cluster.id)
    assert store.repository.clusters(limit=5, marker=None).items == []
    assert store.records.secret(cluster.id, "authority") is None
    assert store.records.nodes(cluster.id) == []
    history = store.repository.operations(cluster.id, limit=5, marker=None).items
    assert [(operation.kind, operation.state) for operation in history] == [
        (OperationKind.CREATE, OperationState.SUCCEEDED),
        (OperationKind.DELETE, OperationState.SUCCEEDED),
    ]
    assert store.active().subnet == cluster.subnet


def test_leftovers_hold_their_network_until_they_are_swept(store: StoreFixture) -> None:
    host = store.ready_host()
    cluster = store.active(node_count=2)
    deletion = store.repository.accept_delete(cluster.id, force=False)
    operation_id = store.begin(deletion)
    stuck, gone = store.records.nodes(cluster.id)
    store.records.release_nodes(cluster.id, [gone.ref.id])
    store.records.mark_nodes_leftover(cluster.id, [stuck.ref.id])
    assert store.repository.cluster(cluster.id).node_count == 0
    store.records.complete_operation(operation_id)
    (left,) = store.records.nodes(cluster.id)
    assert (left.state, left.plan.address) == (NodeState.LEFTOVER, stuck.plan.address)
    assert store.records.clusters_on_host(host.id) == []
    other = store.active("other", 1)
    assert other.subnet == "10.64.1.0/24"
    store.records.release_nodes(cluster.id, [stuck.ref.id])
    assert store.active("third", 1).subnet == "10.64.0.0/24"


def test_a_create_that_a_forced_delete_pushes_aside_leaves_the_cluster_deleting(store: StoreFixture) -> None:
    store.ready_host()
    accepted, nodes = store.reserved()
    store.repository.accept_delete(accepted.cluster.id, force=True)
    store.records.release_nodes(accepted.cluster.id, [node.id for node in nodes])
    store.records.fail_operation(accepted.operation.id, ERROR, cancelled=True)
    cluster = store.repository.cluster(accepted.cluster.id)
    assert (cluster.status, cluster.error, cluster.node_count) == (ClusterStatus.DELETING, None, 0)
    assert store.repository.operation(accepted.operation.id).state is OperationState.CANCELLED


def test_a_create_that_finishes_while_a_forced_delete_waits_stays_deleting(store: StoreFixture) -> None:
    store.ready_host()
    accepted, _ = store.reserved()
    store.repository.accept_delete(accepted.cluster.id, force=True)
    store.records.complete_operation(accepted.operation.id)
    assert store.repository.cluster(accepted.cluster.id).status is ClusterStatus.DELETING
    assert store.repository.operation(accepted.operation.id).state is OperationState.SUCCEEDED


def test_steps_keep_every_attempt_and_mark_those_that_were_lost(store: StoreFixture) -> None:
    operation_id = store.begin(store.create())

    def start(attempt: int) -> None:
        store.records.step_started(operation_id, "7", name="ensure_node", node="demo-1", host="metal", attempt=attempt)

    start(1)
    start(1)
    start(2)
    store.records.step_ended(operation_id, "7", attempt=2, error=ERROR, note=None)
    start(3)
    store.records.step_ended(operation_id, "7", attempt=3, error=None, note="Moved two pods.")
    store.records.step_ended(operation_id, "7", attempt=3, error=ERROR, note=None)
    steps = store.repository.operation(operation_id).steps
    assert [(step.attempt, step.state, step.error, step.note) for step in steps] == [
        (1, StepState.LOST, None, None),
        (2, StepState.FAILED, ERROR, None),
        (3, StepState.SUCCEEDED, None, "Moved two pods."),
    ]
    assert all(step.ended_at is not None and step.ended_at >= step.started_at for step in steps)
    assert (steps[0].name, steps[0].node, steps[0].host) == ("ensure_node", "demo-1", "metal")


def test_unknown_ids_are_not_found(store: StoreFixture) -> None:
    records = store.records
    for call in (
        lambda: records.begin_operation("x", workflow_id="w", run_id="r"),
        lambda: records.complete_operation("x"),
        lambda: records.fail_operation("x", ERROR, cancelled=False),
        lambda: records.reserve_nodes("x", 1),
        lambda: records.choose_removals("x", 1),
        lambda: records.release_nodes("x", []),
        lambda: records.cluster("x"),
        lambda: records.node("x"),
        lambda: records.overlay("x", "y"),
        lambda: records.mark_overlay("x", "y", verified=True),
        lambda: records.put_secret("x", "y", b""),
        lambda: records.host("x"),
        lambda: records.orphan_age_s("x", "y"),
        lambda: records.set_conditions("x", []),
        lambda: records.set_capabilities("x", []),
        lambda: records.set_image("x", "y", "z"),
        lambda: records.image_digests("x"),
        lambda: records.step_started("x", "1", name="n", node=None, host=None, attempt=1),
        lambda: records.step_ended("x", "1", attempt=1, error=None, note=None),
        lambda: store.outbox.mark_lost("x", ERROR),
        lambda: store.outbox.accept_prepare_host("x"),
    ):
        with pytest.raises(NotFound):
            call()


def test_a_secret_is_kept_once(store: StoreFixture) -> None:
    cluster = store.create().cluster
    assert store.records.secret(cluster.id, "authority") is None
    assert store.records.put_secret(cluster.id, "authority", b"\x00one")
    assert not store.records.put_secret(cluster.id, "authority", b"two")
    assert store.records.secret(cluster.id, "authority") == b"\x00one"
    store.records.discard_secrets(cluster.id)
    assert store.records.secret(cluster.id, "authority") is None


def test_conditions_make_a_cluster_degraded_and_healthy_again(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active()
    condition = Condition("node-missing", "demo-2 is gone", "2026-01-01T00:00:00Z", "demo-2")
    store.records.set_conditions(cluster.id, [condition])
    degraded = store.repository.cluster(cluster.id)
    assert (degraded.status, degraded.health, degraded.conditions) == (
        ClusterStatus.ACTIVE,
        Health.DEGRADED,
        (condition,),
    )
    store.records.set_conditions(cluster.id, [])
    assert store.repository.cluster(cluster.id).health is Health.HEALTHY


def test_the_local_host_is_added_once_and_keeps_what_is_known_of_it(store: StoreFixture) -> None:
    host = ensure_local_host(store.engine, root="/a", name="metal")
    assert (host.state, host.address, host.claim) == (HostState.PREPARING, "local", None)
    report = HostReport([Check("esp", CheckState.DEGRADED, "no ESP", "no encryption")], frozenset({"ipvs"}), 1400, 2)
    claim = Claim("10.65.0.0/16", 1_000_000_000, 1024)
    store.records.record_host(replace(host, state=HostState.READY, claim=claim, image="sha256:1"), report)
    again = ensure_local_host(store.engine, root="/b", name="metal")
    assert (again.id, again.root, again.state, again.claim) == (host.id, "/b", HostState.READY, claim)
    assert (again.mtu, again.capabilities, again.image) == (1400, frozenset({"ipvs"}), "sha256:1")
    assert store.records.hosts() == [again]
    assert host_report(store.engine, host.id) == replace(report, checks=tuple(report.checks))


def test_a_host_is_prepared_by_one_operation_at_a_time(store: StoreFixture) -> None:
    host = ensure_local_host(store.engine, root="/a", name="metal")
    first = store.outbox.accept_prepare_host(host.id)
    assert (first.kind, first.workflow_id, first.host_id) == (OperationKind.PREPARE_HOST, f"host-{host.id}", host.id)
    assert store.outbox.accept_prepare_host(host.id).id == first.id
    assert [operation.id for operation in store.outbox.pending(0)] == [first.id]
    assert store.outbox.pending(3600) == []
    assert store.records.begin_operation(first.id, workflow_id=first.workflow_id, run_id="r")
    store.records.fail_operation(first.id, ERROR, cancelled=False)
    assert store.records.host(host.id).state is HostState.ERROR
    second = store.outbox.accept_prepare_host(host.id)
    assert second.id != first.id


def test_orphans_age_from_their_first_report(store: StoreFixture) -> None:
    host = store.ready_host()
    assert store.records.orphan_age_s(host.id, "tst0-a") == 0.0
    assert store.records.orphan_age_s(host.id, "tst0-a") > 0.0
    store.records.orphan_age_s(host.id, "tst0-b")
    store.records.forget_orphans_except(host.id, ["tst0-b"])
    assert store.records.orphan_age_s(host.id, "tst0-a") == 0.0
    assert store.records.orphan_age_s(host.id, "tst0-b") > 0.0


def test_an_error_of_the_database_does_not_tell_values(store: StoreFixture) -> None:
    with store.engine.begin() as connection, pytest.raises(IntegrityError) as error:
        connection.execute(
            Table.metadata.tables["secrets"]
            .insert()
            .values(cluster_id="none-such", name="authority", tenant_id="admin", sealed=b"wax", created_at=now())
        )
    assert "wax" not in str(error.value)
