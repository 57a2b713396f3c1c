"""Kubernetes clusters in the store: options, subnets, the pod network, namespaces, what was found out."""

from dataclasses import replace

import pytest

from domain.clusters import SWARM, Capability, ClusterStatus, kubernetes_type
from domain.errors import CarinaError, InvalidInput, SubnetOverlaps, Unavailable
from domain.options import NETWORK_NONE, AskedOptions, ClusterOptions
from domain.overlays import Overlay
from tests.unit.store_stages import KUBERNETES, StoreFixture, at_once


def test_options_are_chosen_apart_from_the_nodes_network_and_kept_with_the_type(store: StoreFixture) -> None:
    store.ready_host()
    old = kubernetes_type(24, "1.34.9")
    accepted, _ = store.reserved("k1", 2, cluster_type=old)
    facts = store.records.cluster(accepted.cluster.id)
    assert (facts.type, facts.coe) == (old, "kubernetes")
    assert facts.options == ClusterOptions("flannel", "10.244.0.0/16", "10.245.0.0/16")
    assert accepted.cluster.options == facts.options
    assert accepted.operation.params == {"node_count": 2, "retain": False, "overlay": "carina"}
    assert facts.segment is not None
    assert (facts.segment.cidr, facts.segment.pod_cidr) == ("10.64.0.0/24", "10.244.0.0/16")
    assert {node.plan.segment for node in store.records.nodes(facts.id)} == {facts.segment}
    store.records.complete_operation(accepted.operation.id)
    assert store.repository.cluster(facts.id).endpoint == "https://10.64.0.10:6443"


def test_registries_are_kept_as_they_were_given(store: StoreFixture) -> None:
    mirrors = {"quay.io": "http://10.0.0.6:5000/", "docker.io": "http://10.0.0.5:5000"}
    options = AskedOptions(registry_mirrors=mirrors, insecure_registries=["10.0.0.5:5000"])
    facts = store.records.cluster(store.create(cluster_type=KUBERNETES, options=options).cluster.id)
    assert facts.options.registry_mirrors == (("docker.io", mirrors["docker.io"]), ("quay.io", "http://10.0.0.6:5000"))
    assert facts.options.insecure_registries == ("10.0.0.5:5000",)


def test_the_pod_network_is_the_first_overlay_and_wraps_nothing(store: StoreFixture) -> None:
    store.ready_host(mtu=1450)
    options = AskedOptions(pod_subnet="10.200.0.0/16")
    accepted, _ = store.reserved("k1", 1, cluster_type=KUBERNETES, options=options)
    assert store.records.overlay(accepted.cluster.id, "carina") == Overlay("carina", "10.200.0.0/16", 1400)
    assert store.records.overlay_names(accepted.cluster.id) == ["carina"]


def test_a_cluster_without_a_network_has_no_overlay_but_lets_pods_through(store: StoreFixture) -> None:
    store.ready_host()
    accepted, _ = store.reserved("k1", 1, cluster_type=KUBERNETES, options=AskedOptions(network=NETWORK_NONE))
    assert accepted.operation.params["overlay"] == ""
    assert store.records.overlay_names(accepted.cluster.id) == []
    segment = store.records.cluster(accepted.cluster.id).segment
    assert segment is not None
    assert segment.pod_cidr == "10.244.0.0/16"
    store.records.complete_operation(accepted.operation.id)
    assert store.repository.cluster(accepted.cluster.id).status is ClusterStatus.ACTIVE


@pytest.mark.parametrize(
    ("options", "error", "field"),
    [
        (AskedOptions(pod_subnet="10.64.0.0/16"), SubnetOverlaps, "options.pod_subnet"),
        (AskedOptions(service_subnet="10.64.128.0/20"), SubnetOverlaps, "options.service_subnet"),
        (AskedOptions(node_subnet="10.65.0.0/24"), InvalidInput, "options.node_subnet"),
        (AskedOptions(node_subnet="10.64.0.0/23"), InvalidInput, "options.node_subnet"),
        (AskedOptions(network="calico"), InvalidInput, "options.network"),
    ],
)
def test_options_that_can_not_be_are_refused_and_change_nothing(
    store: StoreFixture, options: AskedOptions, error: type[CarinaError], field: str
) -> None:
    store.ready_host()
    with pytest.raises(error) as refused:
        store.create(cluster_type=KUBERNETES, options=options)
    assert refused.value.field == field
    assert store.repository.clusters(limit=5, marker=None).items == []


def test_a_node_subnet_is_held_from_when_it_is_accepted_until_the_cluster_is_gone(store: StoreFixture) -> None:
    store.ready_host()
    options = AskedOptions(node_subnet="10.64.1.0/24")
    accepted = store.create("first", 1, cluster_type=KUBERNETES, options=options)
    assert accepted.cluster.subnet == "10.64.1.0/24"
    with pytest.raises(SubnetOverlaps, match="first") as refused:
        store.create("second", options=options)
    assert refused.value.field == "options.node_subnet"
    assert store.active("third", 1).subnet == "10.64.0.0/24"
    assert store.active("fourth", 1).subnet == "10.64.2.0/24"
    (node,) = store.records.reserve_nodes(store.begin(accepted), 1)
    assert store.records.node(node.id).plan.address == "10.64.1.10"
    assert store.records.node(node.id).plan.segment.bridge == "tst0-br1"
    store.records.complete_operation(accepted.operation.id)
    deletion = store.repository.accept_delete(accepted.cluster.id, force=False)
    store.records.complete_operation(store.begin(deletion))
    assert store.active("fifth", 1, options=options).subnet == "10.64.1.0/24"


def test_a_cluster_deleted_before_it_began_gives_its_subnet_back(store: StoreFixture) -> None:
    store.ready_host()
    options = AskedOptions(node_subnet="10.64.7.0/24")
    accepted = store.create("first", 1, options=options)
    deletion = store.repository.accept_delete(accepted.cluster.id, force=True)
    store.records.complete_operation(store.begin(deletion))
    assert store.create("second", 1, options=options).cluster.subnet == "10.64.7.0/24"


def test_one_of_many_gets_the_node_subnet(store: StoreFixture) -> None:
    store.ready_host()
    options = AskedOptions(node_subnet="10.64.9.0/24")
    results = at_once([lambda name=f"c{number}": store.create(name, options=options) for number in range(6)])
    assert sum(isinstance(result, SubnetOverlaps) for result in results) == 5
    assert len(store.repository.clusters(limit=10, marker=None).items) == 1


def test_a_node_subnet_needs_a_node_network(store: StoreFixture) -> None:
    with pytest.raises(Unavailable):
        store.create(options=AskedOptions(node_subnet="10.64.0.0/24"))
    assert store.create(cluster_type=KUBERNETES).cluster.options.pod_subnet == "10.244.0.0/16"


def test_a_namespace_has_services_and_no_subnet(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active("k1", 1, cluster_type=KUBERNETES)
    accepted, view = store.repository.accept_overlay(cluster.id, name="shop", services=["web:80", "api:8080"])
    assert (view.subnet, view.mtu, view.services) == (None, 1450, ("web:80", "api:8080"))
    assert store.records.overlay(cluster.id, "shop") == Overlay("shop", "", 1450, services=("web:80", "api:8080"))
    store.records.complete_operation(store.begin(accepted))
    accepted, view = store.repository.accept_overlay(cluster.id, name="dark")
    assert (view.subnet, view.services) == (None, ())
    store.records.complete_operation(store.begin(accepted))
    assert store.records.overlay_names(cluster.id) == ["carina", "dark", "shop"]


def test_the_image_of_nodes_is_known_once_it_is_there(store: StoreFixture) -> None:
    host = store.ready_host()
    cluster = store.active("k1", 1)
    accepted = store.repository.accept_resize(cluster.id, 3)
    assert accepted is not None
    store.records.reserve_nodes(store.begin(accepted), 2)
    store.records.set_image(accepted.operation.id, "another-host", "sha256:x")
    store.records.set_image(accepted.operation.id, host.id, "sha256:new")
    plans = [facts.plan for facts in store.records.nodes(cluster.id)]
    assert [(plan.image, plan.stamp.image) for plan in plans] == [("", ""), *[("sha256:new", "sha256:new")] * 2]


def test_what_was_found_out_takes_the_place_of_what_was_known_by_that_name(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active("k1", 1, cluster_type=KUBERNETES)
    dns, policy = Capability("dns", True, "a name"), Capability("network-policy", False, "a probe got through")
    store.records.set_capabilities(cluster.id, [policy, dns])
    before = store.repository.cluster(cluster.id)
    assert [(found.name, found.works, found.detail) for found in before.capabilities] == [
        ("dns", True, "a name"),
        ("network-policy", False, "a probe got through"),
    ]
    store.records.set_capabilities(cluster.id, [replace(policy, works=True, detail="a probe was stopped")])
    first, second = store.repository.cluster(cluster.id).capabilities
    assert first == before.capabilities[0]
    assert (second.works, second.detail) == (True, "a probe was stopped")
    assert second.verified_at > first.verified_at
    assert first.verified_at.utcoffset() is not None


def test_swarms_and_kubernetes_clusters_stand_side_by_side(store: StoreFixture) -> None:
    store.ready_host()
    swarm, kubernetes = store.active("s1", 1), store.active("k1", 1, cluster_type=KUBERNETES)
    views = store.repository.clusters(limit=5, marker=None).items
    assert [(view.type, view.endpoint) for view in views] == [
        (SWARM, "tcp://10.64.0.10:2376"),
        (KUBERNETES, "https://10.64.1.10:6443"),
    ]
    facts = store.records.cluster(swarm.id)
    assert facts.segment is not None
    assert facts.segment.pod_cidr == ""
    assert store.records.cluster(kubernetes.id).segment != facts.segment
