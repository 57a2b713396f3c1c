"""Hosts in the store: added whole or not at all, one change at a time, gone only when nothing is on them."""

from dataclasses import replace

import pytest

from domain.clusters import SWARM
from domain.errors import (
    CarinaError,
    Conflict,
    ErrorRecord,
    HostBusy,
    HostInUse,
    HostNotReady,
    NameTaken,
    NoRoom,
    NotFound,
)
from domain.host_input import AskedHost
from domain.hosts import HostState
from domain.operations import OperationKind, OperationState
from domain.publications import FIRST_API_PORT
from domain.sizes import Size
from store.host_admin import HostAdmin
from store.views import HostAccepted
from tests.unit.store_hosts import KEY, add, key_of, ready
from tests.unit.store_stages import StoreFixture, at_once

ERROR = ErrorRecord("host-unreachable", "The host can't be reached", "it is silent", "look at it")


@pytest.fixture
def admin(store: StoreFixture) -> HostAdmin:
    return HostAdmin(store.engine)


def test_a_host_comes_back_as_it_was_asked_for(store: StoreFixture, admin: HostAdmin) -> None:
    asked = AskedHost(
        "Rack1", "2001:db8::7", "ops", 2222, "/key", KEY, "row-a", "direct", "/dev/sdb", fabric_address="10.0.0.7"
    )
    accepted = admin.accept_add(asked, root="/var/lib/carina-tst0")
    host = store.records.host(accepted.host.id)
    assert host == asked.host(accepted.host.id, "/var/lib/carina-tst0")
    assert store.records.hosts() == [host]
    view = admin.host(host.id)
    assert view == accepted.host
    assert (view.address, view.port, view.user, view.identity) == ("2001:db8::7", 2222, "ops", "/key")
    assert (view.operation_id, accepted.operation.kind) == (accepted.operation.id, OperationKind.PREPARE_HOST)
    assert accepted.operation.workflow_id == f"host-{host.id}"


def test_one_of_many_hosts_gets_the_name(admin: HostAdmin) -> None:
    results = at_once(
        [
            lambda number=number: add(
                admin, ("rack", "Rack")[number % 2], f"192.0.2.{number}", host_key=key_of(str(number))
            )
            for number in range(8)
        ]
    )
    assert sum(isinstance(result, NameTaken) for result in results) == 7
    assert len(admin.hosts(limit=10, marker=None).items) == 1


def test_one_of_many_hosts_gets_the_address(admin: HostAdmin) -> None:
    results = at_once([lambda number=number: add(admin, f"rack{number}", "192.0.2.7") for number in range(8)])
    assert sum(isinstance(result, Conflict) for result in results) == 7
    assert len(admin.hosts(limit=10, marker=None).items) == 1


def test_one_of_many_changes_gets_the_host(store: StoreFixture, admin: HostAdmin) -> None:
    host = ready(store, admin)
    kinds = (OperationKind.DRAIN_HOST, OperationKind.PREPARE_HOST) * 4
    results = at_once([lambda kind=kind: admin.accept_task(host.id, kind) for kind in kinds])
    (won,) = [result for result in results if not isinstance(result, CarinaError)]
    others = [result for result in results if isinstance(result, CarinaError)]
    assert all(isinstance(other, HostBusy) and won.operation.id in other.detail for other in others)


def test_no_node_comes_to_a_host_that_is_being_removed(store: StoreFixture, admin: HostAdmin) -> None:
    for number in range(4):
        host = ready(store, admin, f"rack{number}", f"192.0.2.{number + 1}")
        operation_id = store.begin(store.create(f"c{number}", 2))
        removal, reservation = at_once(
            [
                lambda host=host: admin.accept_task(host.id, OperationKind.REMOVE_HOST),
                lambda id_=operation_id: store.records.reserve_nodes(id_, 2),
            ]
        )
        if isinstance(removal, HostAccepted):
            assert isinstance(reservation, HostNotReady | NoRoom), reservation
            assert admin.nodes(host.id, limit=5, marker=None).items == []
        else:
            assert isinstance(removal, HostInUse)
            assert len(admin.nodes(host.id, limit=5, marker=None).items) == 2
        admin.set_cordoned(host.id, cordoned=True)  # the next one's nodes are not to come here


def test_a_drain_cordons_at_once_and_holds_off_an_uncordon(store: StoreFixture, admin: HostAdmin) -> None:
    host = ready(store, admin)
    accepted = admin.accept_task(host.id, OperationKind.DRAIN_HOST)
    assert (accepted.host.cordoned, accepted.host.state) == (True, HostState.READY)
    with pytest.raises(HostBusy, match=accepted.operation.id):
        admin.set_cordoned(host.id, cordoned=False)
    store.records.begin_operation(accepted.operation.id, workflow_id="w", run_id="r")
    store.records.complete_operation(accepted.operation.id)
    assert admin.set_cordoned(host.id, cordoned=False).cordoned is False


def test_a_host_that_is_being_removed_only_goes(store: StoreFixture, admin: HostAdmin) -> None:
    host = ready(store, admin)
    removal = admin.accept_task(host.id, OperationKind.REMOVE_HOST)
    assert (removal.host.state, removal.host.cordoned) == (HostState.REMOVING, True)
    assert admin.accept_task(host.id, OperationKind.REMOVE_HOST) == replace(removal, replayed=True)
    store.records.begin_operation(removal.operation.id, workflow_id="w", run_id="r")
    store.records.record_host(replace(host, state=HostState.READY), None)
    store.records.fail_operation(removal.operation.id, ERROR, cancelled=False)
    view = admin.host(host.id)
    assert (view.state, view.error, view.cordoned) == (HostState.ERROR, ERROR, True)
    assert admin.accept_task(host.id, OperationKind.PREPARE_HOST).host.state == HostState.PREPARING


def test_nothing_but_its_removal_is_asked_of_a_host_on_its_way_out(store: StoreFixture, admin: HostAdmin) -> None:
    host = ready(store, admin)
    admin.accept_task(host.id, OperationKind.REMOVE_HOST)
    for kind in (OperationKind.DRAIN_HOST, OperationKind.PREPARE_HOST):
        with pytest.raises(HostBusy):
            admin.accept_task(host.id, kind)
    with pytest.raises(Conflict, match="removed"):
        admin.set_cordoned(host.id, cordoned=False)


def test_force_takes_the_place_of_a_removal_that_waits(store: StoreFixture, admin: HostAdmin) -> None:
    host = ready(store, admin)
    first = admin.accept_task(host.id, OperationKind.REMOVE_HOST)
    forced = admin.accept_task(host.id, OperationKind.REMOVE_HOST, force=True)
    assert forced.cancel is not None
    assert (forced.cancel.id, forced.cancel.state) == (first.operation.id, OperationState.CANCELLING)
    assert admin.accept_task(host.id, OperationKind.REMOVE_HOST).operation.id == forced.operation.id
    assert admin.host(host.id).operation_id == forced.operation.id
    store.records.fail_operation(first.operation.id, ERROR, cancelled=True)
    assert admin.host(host.id).state == HostState.REMOVING


def test_a_removal_names_the_clusters_that_have_nodes_there(store: StoreFixture, admin: HostAdmin) -> None:
    host = ready(store, admin)
    for number in range(12):
        store.active(f"c{number:02}", 1)
    with pytest.raises(HostInUse, match=r"'c00' \(1\), .*'c09' \(1\) and 2 more"):
        admin.accept_task(host.id, OperationKind.REMOVE_HOST)
    assert admin.host(host.id).state == HostState.READY


def test_a_host_key_is_one_hosts_only(store: StoreFixture, admin: HostAdmin) -> None:
    add(admin, "rack1", "192.0.2.1")
    with pytest.raises(Conflict, match="'rack1' has that host key") as refusal:
        add(admin, "alias", "rack1.example.org", host_key=key_of("rack1"))
    assert refusal.value.field == "host_key"


def test_the_ssh_port_of_a_host_is_given_to_no_node(store: StoreFixture, admin: HostAdmin) -> None:
    ready(store, admin, port=FIRST_API_PORT)
    cluster = store.active("demo", 2)
    assert [node.api_port for node in store.records.nodes(cluster.id)] == [FIRST_API_PORT + 1, FIRST_API_PORT + 2]


def test_a_host_that_is_not_ready_is_not_said_to_be_unreachable(store: StoreFixture, admin: HostAdmin) -> None:
    host = ready(store, admin)
    store.records.record_answers({host.id: "no route to host"})
    assert admin.host(host.id).unreachable is not None
    store.records.record_host(replace(host, state=HostState.PREPARING), None)
    assert admin.host(host.id).unreachable is None
    store.records.record_answers({host.id: "no route to host"})
    assert admin.host(host.id).unreachable is None


def test_what_a_host_carries_is_counted(store: StoreFixture, admin: HostAdmin) -> None:
    first = ready(store, admin, "rack1", "192.0.2.1")
    second = ready(store, admin, "rack2", "192.0.2.2")
    store.active("demo", 4)
    views = {view.id: view for view in admin.hosts(limit=10, marker=None).items}
    assert (views[first.id].node_count, views[second.id].node_count) == (2, 2)
    seen = [item for host in (first, second) for item in admin.nodes(host.id, limit=10, marker=None).items]
    assert sorted(item.node.name for item in seen) == ["demo-1", "demo-2", "demo-3", "demo-4"]
    assert {item.cluster_name for item in seen} == {"demo"}
    assert views[first.id].reserved == Size()
    store.active("sized", 2, cluster_type=replace(SWARM, size=Size(0.5, 2**30, 2**33)))
    assert [admin.host(host.id).reserved for host in (first, second)] == [Size(0.5, 2**30, 2**33)] * 2


def test_a_host_that_is_not_there_is_not_found(admin: HostAdmin) -> None:
    for ask in (
        lambda: admin.host("x"),
        lambda: admin.report("x"),
        lambda: admin.nodes("x", limit=1, marker=None),
        lambda: admin.accept_task("x", OperationKind.DRAIN_HOST),
        lambda: admin.set_cordoned("x", cordoned=True),
    ):
        with pytest.raises(NotFound):
            ask()


def test_only_this_machine_is_prepared_at_each_start(store: StoreFixture, admin: HostAdmin) -> None:
    local = store.ready_host()
    remote = ready(store, admin)
    assert store.outbox.accept_prepare_host(local.id).host_id == local.id
    with pytest.raises(Conflict, match="rack1"):
        store.outbox.accept_prepare_host(remote.id)
    last = store.outbox.last_prepare_host()
    assert last is not None
    assert last.host_id == local.id


def test_a_host_left_in_the_middle_of_its_preparation_is_taken_up(store: StoreFixture, admin: HostAdmin) -> None:
    added = add(admin, "rack1", "192.0.2.1")
    assert store.outbox.accept_prepare_host(added.host.id).id == added.operation.id
