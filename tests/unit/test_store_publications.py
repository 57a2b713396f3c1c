"""Published ports in the store: one cluster's each, and on each host what leads to the nodes that are there."""

import pytest

from domain.errors import CarinaError, Conflict, ErrorRecord, NotFound, PortTaken
from domain.hosts import Host
from domain.nodes import NodeState
from domain.publications import Protocol, Publication
from store.host_admin import HostAdmin
from store.repository import Repository
from store.views import Accepted, PublicationView
from tests.unit.store_hosts import ready
from tests.unit.store_stages import KUBERNETES, StoreFixture, at_once

ERROR = ErrorRecord("step-failed", "A step failed", "it broke", "mend it")


@pytest.fixture
def racks(store: StoreFixture) -> list[Host]:
    admin = HostAdmin(store.engine)
    return [ready(store, admin, f"rack{number}", f"192.0.2.{number}") for number in (1, 2)]


def publish(store: StoreFixture, cluster_id: str, port: int = 80, node_port: int = 30080) -> Accepted:
    accepted, _view = store.repository.accept_publish(
        cluster_id, host_port=port, node_port=node_port, protocol=Protocol.TCP
    )
    return accepted


def published(store: StoreFixture, cluster_id: str, port: int = 80) -> None:
    store.records.complete_operation(store.begin(publish(store, cluster_id, port)))


def ports(store: StoreFixture, cluster_id: str) -> list[PublicationView]:
    return list(store.repository.publications(cluster_id, limit=10, after=None).items)


def asked(store: StoreFixture, host: Host) -> list[Publication]:
    return [port for port in store.records.publications(host.id) if not 20000 <= port.host_port < 25000]


def test_a_port_leads_to_the_first_node_of_the_cluster_on_each_host(store: StoreFixture, racks: list[Host]) -> None:
    cluster = store.active("demo", 4)
    accepted = publish(store, cluster.id)
    by_host = {
        host.id: sorted(
            (fact.plan.address for fact in store.records.nodes(cluster.id) if fact.plan.host.id == host.id),
            key=lambda address: int(address.split(".")[3]),
        )
        for host in racks
    }
    for host in racks:
        assert asked(store, host) == [Publication(80, by_host[host.id][0], 30080)]
    assert [view.addresses for view in ports(store, cluster.id)] == [("192.0.2.1:80", "192.0.2.2:80")]
    store.records.complete_operation(store.begin(accepted))
    assert len(ports(store, cluster.id)) == 1


def test_native_apis_are_published_beside_what_was_asked_for(store: StoreFixture, racks: list[Host]) -> None:
    swarm, kubernetes = store.active("swarm", 2), store.active("k8s", 2, cluster_type=KUBERNETES)
    published(store, swarm.id)
    facts = [*store.records.nodes(swarm.id), *store.records.nodes(kubernetes.id)]
    expected = {
        Publication(fact.api_port, fact.plan.address, 6443 if "k8s" in fact.ref.name else 2376)
        for fact in facts
        if fact.api_port is not None
    }
    assert len(expected) == 3  # of Kubernetes, the manager's alone
    found = {port for host in racks for port in store.records.publications(host.id) if port.host_port != 80}
    assert found == expected


def test_a_host_whose_nodes_can_be_reached_publishes_nothing(store: StoreFixture) -> None:
    host = store.ready_host()
    cluster = store.active("demo", 2)
    with pytest.raises(Conflict, match="publish no ports"):
        publish(store, cluster.id)
    assert store.records.publications(host.id) == []
    with pytest.raises(NotFound):
        store.records.publications("x")


def test_a_port_that_is_on_its_way_out_leads_nowhere_and_is_kept(store: StoreFixture, racks: list[Host]) -> None:
    cluster, other = store.active("demo", 2), store.active("other", 2)
    published(store, cluster.id, 80)
    published(store, cluster.id, 81)
    accepted, view = store.repository.accept_unpublish(cluster.id, 80, Protocol.TCP)
    assert (view.host_port, view.addresses) == (80, ("192.0.2.1:80", "192.0.2.2:80"))
    for host in racks:
        assert [port.host_port for port in asked(store, host)] == [81]
    with pytest.raises(PortTaken, match="'demo'"):
        publish(store, other.id)
    store.records.fail_operation(store.begin(accepted), ERROR, cancelled=False)
    assert [port.host_port for port in ports(store, cluster.id)] == [80, 81]
    again, _ = store.repository.accept_unpublish(cluster.id, 80, Protocol.TCP)
    store.records.complete_operation(store.begin(again))
    assert [port.host_port for port in ports(store, cluster.id)] == [81]
    published(store, other.id)


def test_a_port_that_could_not_be_published_is_free_again(store: StoreFixture, racks: list[Host]) -> None:
    cluster = store.active("demo", 2)
    store.records.fail_operation(store.begin(publish(store, cluster.id)), ERROR, cancelled=False)
    assert ports(store, cluster.id) == []
    assert [asked(store, host) for host in racks] == [[], []]
    published(store, cluster.id)


def test_one_of_many_clusters_gets_a_port(store: StoreFixture, racks: list[Host]) -> None:
    clusters = [store.active(f"c{number}", 1) for number in range(6)]
    results = at_once([lambda id_=cluster.id: publish(store, id_) for cluster in clusters])
    assert sum(not isinstance(result, CarinaError) for result in results) == 1
    assert sum(isinstance(result, PortTaken) for result in results) == 5


def test_the_ports_of_a_deleted_cluster_go_with_it(store: StoreFixture, racks: list[Host]) -> None:
    cluster = store.active("demo", 2)
    published(store, cluster.id)
    store.records.complete_operation(store.begin(store.repository.accept_delete(cluster.id, force=False)))
    assert [store.records.publications(host.id) for host in racks] == [[], []]
    published(store, store.active("demo", 2).id)


def test_a_node_that_is_leaving_is_led_to_last(store: StoreFixture, racks: list[Host]) -> None:
    cluster = store.active("demo", 4)
    published(store, cluster.id)
    resize = store.repository.accept_resize(cluster.id, 2)
    assert resize is not None
    leaving = {node.id for node in store.records.choose_removals(store.begin(resize), 2)}
    staying = {
        fact.plan.host.id: fact.plan.address
        for fact in reversed(store.records.nodes(cluster.id))
        if fact.ref.id not in leaving
    }
    for host in racks:
        (port,) = asked(store, host)
        assert port.node_address == staying.get(host.id, port.node_address)
    assert {fact.state for fact in store.records.nodes(cluster.id)} == {NodeState.ACTIVE, NodeState.REMOVING}


def test_another_tenant_sees_no_cluster_and_no_name(store: StoreFixture, racks: list[Host]) -> None:
    cluster = store.active("demo", 1)
    published(store, cluster.id)
    other = Repository(store.engine, "other")
    for ask in (
        lambda: other.publications(cluster.id, limit=1, after=None),
        lambda: other.accept_publish(cluster.id, host_port=81, node_port=1, protocol=Protocol.TCP),
        lambda: other.accept_unpublish(cluster.id, 80, Protocol.TCP),
    ):
        with pytest.raises(NotFound):
            ask()
