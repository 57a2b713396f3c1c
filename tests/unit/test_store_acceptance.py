"""What is accepted, what is refused, and that a refusal changes nothing."""

import pytest
from sqlalchemy import Engine, func, select, text

from domain.clusters import SWARM, ClusterStatus, Health
from domain.errors import (
    ClusterBusy,
    Conflict,
    EncryptionUnsupported,
    ErrorRecord,
    InvalidInput,
    KeyReused,
    NameTaken,
    NotFound,
    OverlayExists,
    SubnetOverlaps,
)
from domain.hosts import CAP_ESP
from domain.operations import OperationKind, OperationState
from domain.overlays import OverlayState
from store.repository import Repository
from store.tables import Table
from store.views import Accepted, IdempotencyKey
from tests.unit.store_stages import StoreFixture

DIGEST = f"sha256:{'0' * 64}"
ERROR = ErrorRecord("step-failed", "A step failed", "it broke", "mend it")


def _rows(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return [
            connection.execute(select(func.count()).select_from(Table.metadata.tables[name])).scalar_one()
            for name in ("clusters", "operations", "idempotency_keys", "overlays")
        ]


def _keyed(store: StoreFixture, name: str, key: str, digest: str) -> Accepted:
    return store.repository.accept_create(
        name=name,
        cluster_type=SWARM,
        node_count=2,
        retain=True,
        idempotency=IdempotencyKey(key, digest),
    )


def test_create_stores_the_cluster_and_its_operation(store: StoreFixture) -> None:
    accepted = store.create("Demo", 3, retain=True)
    assert not accepted.replayed
    assert accepted.cancel is None
    cluster = store.repository.cluster(accepted.cluster.id)
    assert cluster == accepted.cluster
    assert (cluster.name, cluster.status, cluster.health) == ("Demo", ClusterStatus.CREATING, Health.UNKNOWN)
    assert (cluster.node_count, cluster.type, cluster.endpoint, cluster.subnet) == (3, SWARM, None, None)
    assert cluster.created_at.utcoffset() is not None
    operation = store.repository.operation(accepted.operation.id)
    assert cluster.operation_id == operation.id
    assert (operation.kind, operation.state) == (OperationKind.CREATE, OperationState.PENDING)
    assert operation.params == {"node_count": 3, "retain": True, "overlay": "carina"}
    assert operation.workflow_id == f"cluster-{cluster.id}"
    assert cluster.id == cluster.id.lower()


@pytest.mark.parametrize(("name", "count"), [("", 1), ("x" * 200, 1), ("a b", 1), ("ok", 0), ("ok", -3), ("ok", 10**6)])
def test_create_with_bad_input_changes_nothing(store: StoreFixture, name: str, count: int) -> None:
    with pytest.raises(InvalidInput):
        store.create(name, count)
    assert _rows(store.engine) == [0, 0, 0, 0]


def test_a_name_is_taken_without_regard_to_case_until_its_cluster_is_deleted(store: StoreFixture) -> None:
    first = store.create("Demo")
    with pytest.raises(NameTaken, match=first.cluster.id):
        store.create("dEMO")
    assert _rows(store.engine)[:2] == [1, 1]
    deletion = store.repository.accept_delete(first.cluster.id, force=True)
    store.begin(deletion)
    store.records.complete_operation(deletion.operation.id)
    assert store.create("demo").cluster.id != first.cluster.id


def test_another_tenant_may_use_the_name_and_sees_nothing(store: StoreFixture) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("INSERT INTO tenants VALUES ('other', 'other', '2026-01-01 00:00:00+00:00')"))
    mine = store.create("demo")
    other = Repository(store.engine, "other")
    theirs = other.accept_create(name="demo", cluster_type=SWARM, node_count=1, retain=False, idempotency=None)
    assert [view.id for view in other.clusters(limit=10, marker=None).items] == [theirs.cluster.id]
    for read in (
        lambda: other.cluster(mine.cluster.id),
        lambda: other.nodes(mine.cluster.id, limit=1, marker=None),
        lambda: other.overlays(mine.cluster.id, limit=1, marker=None),
        lambda: other.operations(mine.cluster.id, limit=1, marker=None),
        lambda: other.operation(mine.operation.id),
        lambda: other.images(mine.cluster.id),
        lambda: other.accept_image(mine.cluster.id, digest=DIGEST, names=[], size_bytes=1),
        lambda: other.check_image_acceptable(mine.cluster.id),
        lambda: other.forget_image(mine.cluster.id, DIGEST),
        lambda: other.accept_delete(mine.cluster.id, force=True),
        lambda: other.accept_resize(mine.cluster.id, 2),
    ):
        with pytest.raises(NotFound):
            read()


def test_the_same_key_and_request_give_the_same_cluster(store: StoreFixture) -> None:
    first = _keyed(store, "demo", "key", "digest")
    again = _keyed(store, "demo", "key", "digest")
    assert again.replayed
    assert (again.cluster, again.operation) == (first.cluster, first.operation)
    assert _rows(store.engine)[:3] == [1, 1, 1]


def test_the_same_key_with_another_request_is_refused(store: StoreFixture) -> None:
    _keyed(store, "demo", "key", "digest")
    with pytest.raises(KeyReused):
        _keyed(store, "other", "key", "another digest")
    assert _rows(store.engine)[:3] == [1, 1, 1]


def test_resize_up_and_down_and_not_at_all(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active(node_count=3)
    assert store.repository.accept_resize(cluster.id, 3) is None
    grow = store.repository.accept_resize(cluster.id, 5)
    assert grow is not None
    assert (grow.operation.kind, grow.operation.params) == (OperationKind.GROW, {"add": 2})
    assert (grow.cluster.status, grow.cluster.node_count) == (ClusterStatus.RESIZING, 3)
    with pytest.raises(ClusterBusy, match=f"{grow.operation.id} .grow"):
        store.repository.accept_resize(cluster.id, 4)
    store.records.fail_operation(store.begin(grow), ERROR, cancelled=False)
    shrink = store.repository.accept_resize(cluster.id, 1)
    assert shrink is not None
    assert (shrink.operation.kind, shrink.operation.params) == (OperationKind.SHRINK, {"remove": 2})


def test_resize_needs_a_cluster_that_is_there_and_active(store: StoreFixture) -> None:
    with pytest.raises(NotFound):
        store.repository.accept_resize("no-such-cluster", 2)
    accepted = store.create()
    with pytest.raises(ClusterBusy, match=accepted.operation.id):
        store.repository.accept_resize(accepted.cluster.id, 2)
    store.records.fail_operation(store.begin(accepted), ERROR, cancelled=False)
    with pytest.raises(Conflict, match="error"):
        store.repository.accept_resize(accepted.cluster.id, 2)
    with pytest.raises(InvalidInput):
        store.repository.accept_resize(accepted.cluster.id, 0)


def test_delete_of_a_busy_cluster_names_the_operation_and_force_cancels_it(store: StoreFixture) -> None:
    accepted = store.create()
    store.begin(accepted)
    with pytest.raises(ClusterBusy, match=accepted.operation.id):
        store.repository.accept_delete(accepted.cluster.id, force=False)
    deletion = store.repository.accept_delete(accepted.cluster.id, force=True)
    assert deletion.cancel is not None
    assert (deletion.cancel.id, deletion.cancel.state) == (accepted.operation.id, OperationState.CANCELLING)
    assert deletion.cluster.status is ClusterStatus.DELETING
    assert deletion.cluster.operation_id == deletion.operation.id
    for force in (False, True):
        again = store.repository.accept_delete(accepted.cluster.id, force=force)
        assert again.replayed
        assert (again.operation.id, again.cancel) == (deletion.operation.id, None)


def test_a_delete_that_failed_can_be_asked_again(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active()
    deletion = store.repository.accept_delete(cluster.id, force=False)
    store.records.fail_operation(store.begin(deletion), ERROR, cancelled=False)
    failed = store.repository.cluster(cluster.id)
    assert (failed.status, failed.error, failed.operation_id) == (ClusterStatus.DELETING, ERROR, None)
    again = store.repository.accept_delete(cluster.id, force=False)
    assert not again.replayed
    assert again.operation.id != deletion.operation.id
    assert again.cluster.error is None


def test_an_overlay_gets_a_free_subnet_and_an_mtu_that_fits(store: StoreFixture) -> None:
    store.ready_host(mtu=1400, capabilities=[CAP_ESP])
    cluster = store.active()
    accepted, overlay = store.repository.accept_overlay(
        cluster.id, name="extra", subnet=None, attachable=True, encrypted=True
    )
    assert (overlay.state, overlay.mtu, overlay.subnet) == (OverlayState.PENDING, 1260, "10.48.1.0/24")
    assert (accepted.operation.kind, accepted.operation.params) == (OperationKind.ADD_OVERLAY, {"overlay": "extra"})
    store.records.complete_operation(store.begin(accepted))
    views = store.repository.overlays(cluster.id, limit=10, marker=None).items
    assert [(view.name, view.state, view.mtu) for view in views] == [
        ("carina", OverlayState.ACTIVE, 1300),
        ("extra", OverlayState.ACTIVE, 1260),
    ]
    assert all(view.verified_at is not None for view in views)


def test_an_overlay_that_can_not_be_is_refused_and_changes_nothing(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active()
    before = _rows(store.engine)

    def ask(name: str = "extra", subnet: str | None = None, *, encrypted: bool = False) -> None:
        store.repository.accept_overlay(cluster.id, name=name, subnet=subnet, attachable=True, encrypted=encrypted)

    with pytest.raises(InvalidInput):
        ask(name="ingress")
    with pytest.raises(OverlayExists):
        ask(name="carina")
    with pytest.raises(SubnetOverlaps, match="nodes' own network"):
        ask(subnet="10.64.9.0/24")
    with pytest.raises(SubnetOverlaps, match="another overlay"):
        ask(subnet="10.48.0.128/25")
    with pytest.raises(EncryptionUnsupported, match="metal"):
        ask(encrypted=True)
    with pytest.raises(NotFound):
        store.repository.accept_overlay_removal(cluster.id, "none-such")
    assert _rows(store.engine) == before
    assert store.repository.cluster(cluster.id).operation_id is None


def test_a_failed_overlay_is_kept_with_its_error_unless_it_was_undone(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active()
    for name, undone in (("undone", True), ("stuck", False)):
        accepted, _ = store.repository.accept_overlay(
            cluster.id, name=name, subnet=None, attachable=True, encrypted=False
        )
        operation_id = store.begin(accepted)
        if undone:
            store.records.forget_overlay(cluster.id, name)
        store.records.fail_operation(operation_id, ERROR, cancelled=False)
    views = store.repository.overlays(cluster.id, limit=10, marker="carina").items
    assert [(view.name, view.state, view.error) for view in views] == [("stuck", OverlayState.ERROR, ERROR)]
    assert store.records.overlay_names(cluster.id) == ["carina"]
    assert store.repository.cluster(cluster.id).status is ClusterStatus.ACTIVE


def test_an_overlay_that_can_not_be_removed_is_active_again(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active()
    removal, overlay = store.repository.accept_overlay_removal(cluster.id, "carina")
    assert overlay.state is OverlayState.REMOVING
    assert store.records.overlay_names(cluster.id) == []
    store.records.fail_operation(store.begin(removal), ERROR, cancelled=False)
    view = store.repository.overlays(cluster.id, limit=1, marker=None).items[0]
    assert (view.state, view.error) == (OverlayState.ACTIVE, ERROR)
    removal, _ = store.repository.accept_overlay_removal(cluster.id, "carina")
    store.records.complete_operation(store.begin(removal))
    assert store.repository.overlays(cluster.id, limit=1, marker=None).items == []


def test_lists_page_without_loss_or_repetition(store: StoreFixture) -> None:
    ids = [store.create(f"c{number}").cluster.id for number in range(5)]
    seen: list[str] = []
    marker = None
    while True:
        page = store.repository.clusters(limit=2, marker=marker)
        assert len(page.items) <= 2
        seen += [view.id for view in page.items]
        marker = page.next_marker
        if marker is None:
            break
    assert seen == ids
    assert [view.id for view in store.repository.clusters(limit=9, marker=None, name="C3").items] == [ids[3]]
    assert store.repository.clusters(limit=5, marker=None).next_marker is None
