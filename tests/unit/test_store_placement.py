"""Reservations over many hosts: where nodes go, what they hold there, and why, told with the step."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import timedelta

import pytest
from sqlmodel import Session

from domain.clusters import SWARM, kubernetes_type
from domain.errors import EncryptionUnsupported, HostNotReady, InvalidInput, NoRoom
from domain.hosts import Claim, Endpoint, HostReport, HostState
from domain.nodes import NodeRef
from domain.options import AskedOptions
from domain.sizes import Size
from store import host_rooms
from store.tables import ClusterRow
from tests.unit.store_stages import StoreFixture

GIB = 2**30


def _measured(total: Size, free: Size, *capabilities: str) -> HostReport:
    return HostReport((), frozenset(capabilities), 1500, 2, total, free, "192.0.2.9")


def _count(nodes: Sequence[NodeRef]) -> Counter[str]:
    return Counter(node.host for node in nodes)


def _places(store: StoreFixture, name: str) -> Counter[str]:
    """Return how many nodes of a new cluster of two are on each host."""
    return _count([node.ref for node in store.records.nodes(store.active(name, 2).id)])


def test_nodes_are_spread_over_zones_and_hosts_and_say_why(store: StoreFixture) -> None:
    store.rack(1, zone="a")
    store.rack(2, zone="a")
    store.rack(3, zone="b")
    store.rack(4, zone="b", cordoned=True)
    said: list[str] = []
    accepted = store.create(node_count=4)
    operation_id = store.begin(accepted)
    nodes = store.records.reserve_nodes(operation_id, 4, tell=said.append)
    assert _count(nodes) == {"rack1": 1, "rack2": 1, "rack3": 2}
    (why,) = said
    assert why.startswith("4 hosts: rack1 takes 1 (zone a, 0 of the cluster and 0 in all before")
    assert "rack4 is cordoned" in why
    assert store.records.reserve_nodes(operation_id, 4, tell=said.append) == nodes
    assert len(said) == 1


def test_hosts_that_do_not_answer_take_no_new_nodes_until_they_do(
    store: StoreFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = store.rack(1)
    store.rack(2)
    store.records.record_answers({"rack-1": "no route to host", "rack-2": None, "gone": "whatever"})
    assert _places(store, "demo") == {"rack2": 2}
    store.records.record_answers({"rack-2": "no route to host"})
    with pytest.raises(HostNotReady, match="2 hosts: 2 unreachable since"):  # which is tried again
        store.active("other", 1)
    monkeypatch.setattr(host_rooms, "AWAY_FOR_A_MOMENT", timedelta(0))
    with pytest.raises(NoRoom, match="2 hosts: 2 unreachable since"):
        store.active("third", 1)
    store.records.record_host(host, _measured(Size(), Size()))
    assert _places(store, "more") == {"rack1": 2}, "what is measured answers"


def test_a_grow_goes_where_the_cluster_has_least(store: StoreFixture) -> None:
    store.rack(1)
    cluster = store.active(node_count=2)
    store.rack(2)
    grow = store.repository.accept_resize(cluster.id, 4)
    assert grow is not None
    assert _count(store.records.reserve_nodes(store.begin(grow), 2)) == {"rack2": 2}


def test_hosts_asked_for_and_excluded_hold_for_what_comes_later_too(store: StoreFixture) -> None:
    for number in (1, 2, 3):
        store.rack(number)
    pinned = store.active("pinned", 2, options=AskedOptions(hosts=["RACK3"]))
    assert pinned.options.hosts == ("rack3",)
    grow = store.repository.accept_resize(pinned.id, 3)
    assert grow is not None
    assert _count(store.records.reserve_nodes(store.begin(grow), 1)) == {"rack3": 1}
    _accepted, nodes = store.reserved("apart", 4, options=AskedOptions(not_hosts=["rack3", "rack1"]))
    assert _count(nodes) == {"rack2": 4}


@pytest.mark.parametrize(
    ("options", "field", "remedy"),
    [
        (AskedOptions(hosts=["rack1", "rack9"]), "options.hosts", "Choose from: rack1, rack2."),
        (AskedOptions(not_hosts=["rack9"]), "options.not_hosts", "Choose from: rack1, rack2."),
        (AskedOptions(hosts=["rack1"], not_hosts=["Rack1"]), "options.not_hosts", "Name it once."),
    ],
)
def test_hosts_that_there_are_not_are_named(
    store: StoreFixture, options: AskedOptions, field: str, remedy: str
) -> None:
    store.rack(1)
    store.rack(2)
    with pytest.raises(InvalidInput) as refusal:
        store.create(options=options)
    assert (refusal.value.field, refusal.value.remedy) == (field, remedy)


def test_sizes_are_never_given_away_twice(store: StoreFixture) -> None:
    total = Size(4, 8 * GIB, 100 * GIB)
    for number in (1, 2):
        store.rack(number, report=_measured(total, replace(total, disk_bytes=90 * GIB)))
    sized = replace(SWARM, size=Size(2, 3 * GIB, 10 * GIB))
    _accepted, nodes = store.reserved("one", 3, cluster_type=sized)
    assert _count(nodes) == {"rack1": 2, "rack2": 1}
    _accepted, nodes = store.reserved("two", 1, cluster_type=sized)
    assert _count(nodes) == {"rack2": 1}
    third = store.begin(store.create("three", 1, cluster_type=sized))
    with pytest.raises(
        NoRoom, match=r"one more node of 2 CPUs, 3 GiB of memory, 10 GiB of disk: 2 hosts: .*2 of 8 GiB"
    ):
        store.records.reserve_nodes(third, 1)
    _accepted, nodes = store.reserved("boundless", 2)
    assert _count(nodes) == {"rack1": 1, "rack2": 1}
    assert {node.plan.size for node in store.records.nodes(_accepted.cluster.id)} == {Size()}


def test_what_a_type_requires_keeps_it_from_hosts_without(store: StoreFixture) -> None:
    store.rack(1, report=_measured(Size(), Size(), "ipvs"))
    store.rack(2)
    _accepted, nodes = store.reserved(cluster_type=replace(SWARM, requires=("ipvs",)))
    assert _count(nodes) == {"rack1": 3}
    assert store.records.cluster(_accepted.cluster.id).type.requires == ("ipvs",)


def test_an_encrypted_overlay_needs_all_hosts_and_keeps_its_cluster_to_those_that_can(store: StoreFixture) -> None:
    able = frozenset({"esp"})
    store.rack(1, capabilities=able)
    store.rack(2)
    spanning = store.active("spanning", 2)
    with pytest.raises(EncryptionUnsupported, match=r"can't carry ESP: rack2\."):
        store.repository.accept_overlay(spanning.id, name="e", subnet=None, attachable=True, encrypted=True)
    cluster = store.active("able", 1, options=AskedOptions(not_hosts=["rack2"]))
    store.rack(3, capabilities=able)
    added, _view = store.repository.accept_overlay(cluster.id, name="e", subnet=None, attachable=True, encrypted=True)
    store.records.complete_operation(store.begin(added))
    with Session(store.engine) as session:
        session.get_one(ClusterRow, cluster.id).options = {**asdict(cluster.options), "not_hosts": []}
        session.commit()
    grow = store.repository.accept_resize(cluster.id, 4)
    assert grow is not None
    said: list[str] = []
    nodes = store.records.reserve_nodes(store.begin(grow), 3, tell=said.append)
    assert _count(nodes) == {"rack1": 1, "rack3": 2}
    assert "rack2 is without esp" in said[0]


def test_the_segment_fits_into_vxlan_on_every_host_that_may_carry_it(store: StoreFixture) -> None:
    store.rack(1, mtu=9000)
    store.rack(2, mtu=1400, cordoned=True)
    store.rack(3, mtu=1300, state=HostState.ERROR)
    plans = [node.plan for node in store.records.nodes(store.active(node_count=1).id)]
    assert [plan.segment.mtu for plan in plans] == [1350]
    pinned = store.active("pinned", 1, options=AskedOptions(hosts=["rack1"]))
    assert [node.plan.segment.mtu for node in store.records.nodes(pinned.id)] == [8950]


def test_every_node_of_a_swarm_has_a_port_of_its_own_on_a_host_that_publishes(store: StoreFixture) -> None:
    store.rack(1)
    store.rack(2, endpoint=Endpoint.DIRECT)
    one, two = store.active("one", 4), store.active("two", 2)
    ports = [(node.ref.host, node.api_port) for cluster in (one, two) for node in store.records.nodes(cluster.id)]
    assert {port for host, port in ports if host == "rack1"} == {20000, 20001, 20002}
    assert {port for host, port in ports if host == "rack2"} == {None}
    assert one.endpoint == "tcp://192.0.2.1:20000"
    manager, *_ = store.records.nodes(one.id)
    assert manager.member.public == ("192.0.2.1", 20000)


def test_of_kubernetes_only_the_manager_has_a_port(store: StoreFixture) -> None:
    store.rack(1)
    cluster = store.active(node_count=3, cluster_type=kubernetes_type(20, "1.35.4"))
    assert [node.api_port for node in store.records.nodes(cluster.id)] == [20000, None, None]
    assert cluster.endpoint == "https://192.0.2.1:20000"


def test_a_port_that_was_given_back_is_given_again(store: StoreFixture) -> None:
    store.rack(1)
    cluster = store.active(node_count=2)
    store.records.release_nodes(cluster.id, [store.records.nodes(cluster.id)[1].ref.id])
    other = store.active("other", 2)
    assert [node.api_port for node in store.records.nodes(other.id)] == [20001, 20002]


def test_a_host_with_another_network_is_named(store: StoreFixture) -> None:
    store.rack(1)
    store.rack(2, claim=Claim("10.65.0.0/16", 1_000_000_000, 64))
    operation_id = store.begin(store.create(node_count=2))
    with pytest.raises(HostNotReady, match=r"rack2 has claimed 10\.65\.0\.0/16 for nodes, not 10\.64\.0\.0/16"):
        store.records.reserve_nodes(operation_id, 2)
    assert _count(store.records.reserve_nodes(operation_id, 1)) == {"rack1": 1}


def test_a_host_without_an_address_carries_a_cluster_alone(store: StoreFixture) -> None:
    store.rack(1, fabric_address="")
    store.rack(2, claim=Claim("10.64.0.0/16", 1_000_000_000, 2))
    assert _count(store.reserved("wide", 3)[1]) == {"rack1": 3}
    assert _count(store.reserved("narrow", 2)[1]) == {"rack2": 2}
