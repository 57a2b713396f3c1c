"""Clusters that span hosts: their segments are joined, proved and kept in line; ports lead to their nodes."""

import pytest
from temporalio.client import WorkflowExecutionStatus
from workflow_testbed import Bed, steps_named

from domain.clusters import ClusterStatus
from domain.errors import NotFound, SegmentBroken
from domain.nodes import Neighbour
from domain.operations import OperationState
from domain.publications import Protocol, Publication
from store.views import ClusterView

PORT = {"host_port": 80, "node_port": 30080, "protocol": Protocol.TCP}


def neighbours(bed: Bed) -> dict[str, set[str]]:
    """Return, by name of host, the addresses of the nodes on other hosts that its segment leads to."""
    names = {host.id: host.name for host in bed.records.hosts()}
    return {names[host]: {each.address for each in known} for (host, _), known in bed.fabric.neighbours.items()}


def addresses(bed: Bed, cluster: ClusterView) -> dict[str, set[str]]:
    """Return, by name of host, the addresses of the cluster's nodes that are not on it."""
    nodes = bed.node_views(cluster)
    hosts = {node.host for node in nodes}
    return {host: {str(node.address) for node in nodes if node.host != host} for host in hosts}


async def test_a_cluster_is_joined_over_all_of_its_hosts_and_proved_both_ways(bed: Bed) -> None:
    bed.rack(3)
    accepted = bed.accept_create(count=5)
    operation = await bed.run(accepted)
    assert operation.error is None
    cluster = bed.cluster(accepted)
    assert set(neighbours(bed)) == {"rack1", "rack2", "rack3"}
    assert neighbours(bed) == addresses(bed, cluster)
    manager = Neighbour("10.64.0.10", "192.0.2.1")
    assert [manager in known for known in bed.fabric.neighbours.values()].count(True) == 2
    assert len(bed.fabric.probed) == 6
    (found,) = [capability for capability in cluster.capabilities if capability.name == "fabric"]
    assert (found.works, found.detail) == (True, "3 hosts, packets of 1450 bytes, both ways")


async def test_a_cluster_on_one_host_has_nothing_to_prove_between_hosts(bed: Bed) -> None:
    bed.rack(1)
    accepted = bed.accept_create(count=2)
    operation = await bed.run(accepted)
    assert operation.state is OperationState.SUCCEEDED
    assert neighbours(bed) == {"rack1": set()}
    assert not steps_named(operation, "probe_segment")
    assert bed.fabric.probed == set()


async def test_a_create_whose_hosts_do_not_reach_each_other_says_which_and_leaves_nothing(patient_bed: Bed) -> None:
    bed = patient_bed
    bed.rack(2)
    bed.fabric.cut = {("10.64.0.10", "10.64.0.11")}
    accepted = bed.accept_create(count=2)
    operation = await bed.run(accepted)
    assert operation.error == SegmentBroken("rack1 does not reach rack2 with packets of 1450 bytes.").record()
    assert bed.cluster(accepted).status is ClusterStatus.ERROR
    bed.assert_nothing_left()


async def test_native_apis_are_published_before_the_cluster_is_formed(bed: Bed) -> None:
    hosts = bed.rack(2)
    held = bed.trouble.hold("orchestrator.form")
    handle = await bed.start(bed.accept_create(count=3).operation)
    await held.wait_reached()
    ports = {host.name: bed.fabric.publications[host.id] for host in hosts}
    assert sorted(each.node_address for each in ports["rack1"] | ports["rack2"]) == [
        "10.64.0.10",
        "10.64.0.11",
        "10.64.0.12",
    ]
    assert {each.node_port for each in ports["rack1"]} == {2376}
    held.release()
    assert await bed.end(handle) is WorkflowExecutionStatus.COMPLETED


async def test_new_nodes_are_known_to_all_hosts_before_they_start(bed: Bed) -> None:
    bed.rack(2)
    cluster = await bed.active(count=2)
    held = bed.trouble.hold("nodes.ensure", on="demo-3")
    handle = await bed.start(bed.accept_resize(cluster.id, 3).operation)
    await held.wait_reached()
    assert neighbours(bed) == addresses(bed, cluster)
    assert sum(map(len, neighbours(bed).values())) == 3
    held.release()
    assert await bed.end(handle) is WorkflowExecutionStatus.COMPLETED
    assert bed.trouble.count("fabric.probe") == 2


async def test_a_host_that_a_shrink_leaves_empty_loses_the_segment_and_others_forget_its_nodes(bed: Bed) -> None:
    hosts = bed.rack(3)
    cluster = await bed.active(count=3)
    operation = await bed.run(bed.accept_resize(cluster.id, 2))
    assert operation.state is OperationState.SUCCEEDED
    (gone,) = {"rack2", "rack3"} - set(neighbours(bed))
    assert neighbours(bed) == addresses(bed, cluster)
    empty = next(host for host in hosts if host.name == gone)
    assert bed.fabric.publications[empty.id] == frozenset()


async def test_delete_takes_segments_and_ports_off_all_hosts(bed: Bed) -> None:
    bed.rack(3)
    cluster = await bed.active(count=3)
    await bed.run(bed.repository.accept_publish(cluster.id, **PORT)[0])
    await bed.run(bed.repository.accept_delete(cluster.id, force=False))
    with pytest.raises(NotFound):
        bed.cluster(cluster)
    bed.assert_nothing_left()


async def test_a_published_port_leads_to_a_node_on_each_host_until_it_is_withdrawn(bed: Bed) -> None:
    hosts = bed.rack(2)
    cluster = await bed.active(count=2)
    accepted, view = bed.repository.accept_publish(cluster.id, **PORT)
    assert set(view.addresses) == {"192.0.2.1:80", "192.0.2.2:80"}
    assert (await bed.run(accepted)).state is OperationState.SUCCEEDED
    asked = {host.name: {each for each in bed.fabric.publications[host.id] if each.host_port == 80} for host in hosts}
    assert asked["rack1"] == {Publication(80, "10.64.0.10", 30080)}
    assert asked["rack2"] == {Publication(80, "10.64.0.11", 30080)}
    accepted, _view = bed.repository.accept_unpublish(cluster.id, 80, Protocol.TCP)
    assert (await bed.run(accepted)).state is OperationState.SUCCEEDED
    assert {each.host_port for host in hosts for each in bed.fabric.publications[host.id]} == {20000}
    assert bed.rows("publications") == 0


async def test_a_port_that_one_host_can_not_publish_is_withdrawn_from_the_others(patient_bed: Bed) -> None:
    bed = patient_bed
    hosts = bed.rack(2)
    cluster = await bed.active(count=2)
    bed.kill(hosts[1])
    operation = await bed.run(bed.repository.accept_publish(cluster.id, **PORT)[0])
    assert operation.error is not None
    assert operation.error.code == "host-unreachable"
    assert "rack2" in operation.error.detail
    assert {each.host_port for each in bed.fabric.publications[hosts[0].id]} == {20000}
    assert bed.rows("publications") == 0
    assert bed.cluster(cluster).status is ClusterStatus.ACTIVE


async def test_a_port_is_withdrawn_although_a_host_is_away_and_that_host_learns_of_it_by_the_sweep(bed: Bed) -> None:
    hosts = bed.rack(2)
    cluster = await bed.active(count=2)
    await bed.run(bed.repository.accept_publish(cluster.id, **PORT)[0])
    bed.kill(hosts[1])
    operation = await bed.run(bed.repository.accept_unpublish(cluster.id, 80, Protocol.TCP)[0])
    assert operation.state is OperationState.SUCCEEDED
    assert {each.host_port for each in bed.fabric.publications[hosts[1].id]} == {80, 20000}
    bed.trouble.heal()
    await bed.sweep()
    assert {each.host_port for each in bed.fabric.publications[hosts[1].id]} == {20000}
