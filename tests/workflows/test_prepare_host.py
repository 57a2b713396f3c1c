"""Preparing a host: it is opened for nodes, or says what it lacks, and its nodes come back."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import cast

from record_histories import orphan_of
from sqlalchemy import text
from temporalio.client import WorkflowExecutionStatus
from troubles import Troubled
from workflow_testbed import Bed, steps_named

from activities.guards import Guards
from activities.ports import Fabric
from domain.errors import DiskFull, HostKeyChanged
from domain.hosts import CAP_ESP, Check, CheckState, Claim, Host, HostReport, HostState, TunnelEnd, TunnelPeer
from domain.operations import OperationKind, OperationState
from domain.publications import Publication
from drivers.fakes.images import DIGEST
from store.hosts import ensure_local_host


async def test_a_new_host_is_prepared_measured_and_opened(bed: Bed) -> None:
    host = ensure_local_host(bed.engine, root="/nowhere", name="metal")
    bed.records.record_host(host.__class__(host.id, host.name, host.address, host.root), None)
    bed.hosts.report = HostReport((), frozenset({CAP_ESP}), mtu=9000, cgroup_version=2)
    operation = await bed.run(bed.outbox.accept_prepare_host(host.id))
    assert operation.state is OperationState.SUCCEEDED
    ready = bed.records.host(host.id)
    assert (ready.state, ready.image, ready.mtu, ready.capabilities) == (HostState.READY, DIGEST, 9000, {CAP_ESP})
    assert ready.claim is not None
    [prepared] = steps_named(operation, "ensure_host")
    assert prepared.note == f"Had to claim the network {ready.claim.network} for nodes."
    assert {step.host for step in operation.steps if step.name in {"ensure_host", "measure_host"}} == {"metal"}


async def test_an_unfit_host_is_not_opened_and_says_at_once_what_is_missing(bed: Bed) -> None:
    host = ensure_local_host(bed.engine, root="/nowhere", name="metal")
    bed.records.record_host(host.__class__(host.id, host.name, host.address, host.root), None)
    missing = Check("overlayfs", CheckState.MISSING, "mount failed: no such device")
    bed.hosts.report = HostReport((missing,), frozenset(), mtu=1500, cgroup_version=2)
    operation = await bed.run(bed.outbox.accept_prepare_host(host.id))
    assert operation.error is not None
    assert operation.error.code == "host-not-ready"
    assert "overlayfs: mount failed: no such device" in operation.error.detail
    assert len(steps_named(operation, "measure_host")) == 1
    assert bed.records.host(host.id).state is HostState.ERROR


async def test_a_node_that_does_not_start_keeps_no_other_from_starting(bed: Bed) -> None:
    await bed.active(count=3)
    bed.nodes.running.clear()
    bed.fabric.segments.clear()
    bed.trouble.fail("nodes.ensure", DiskFull("full"), on="demo-1")
    host = bed.ready_host()
    handle = await bed.start(operation := bed.outbox.accept_prepare_host(host.id))
    assert await bed.end(handle) is WorkflowExecutionStatus.FAILED
    ended = bed.repository.operation(operation.id)
    assert ended.error == DiskFull("metal: full").record()
    assert len(bed.nodes.running) == 2
    assert len(bed.fabric.segments) == 1
    assert bed.records.host(host.id).state is HostState.READY


async def test_preparing_a_host_again_brings_its_networks_and_nodes_back(bed: Bed) -> None:
    await bed.active(count=2)
    bed.nodes.running.clear()
    bed.fabric.segments.clear()
    operation = await bed.run(bed.outbox.accept_prepare_host(bed.ready_host().id))
    assert operation.state is OperationState.SUCCEEDED
    assert [step.note for step in steps_named(operation, "ensure_host")] == ["Nothing had to be changed."]
    assert len(bed.nodes.running) == 2
    assert len(bed.fabric.segments) == 1
    assert {step.node for step in steps_named(operation, "ensure_node")} == {"demo-1", "demo-2"}


async def test_hosts_are_guarded_at_both_of_their_addresses(bed: Bed) -> None:
    first, second = bed.rack(2)
    with bed.engine.begin() as connection:
        connection.execute(text("UPDATE hosts SET address = '198.51.100.2' WHERE id = :id"), {"id": second.id})
    await bed.run(bed.accept_task(first, OperationKind.PREPARE_HOST))
    assert bed.fabric.guarded[first.id] == {"192.0.2.2/32", "198.51.100.2/32"}


async def test_hosts_claim_one_network_and_are_guarded_from_each_others_nodes(bed: Bed) -> None:
    (first,) = bed.rack(1)
    bed.records.record_host(replace(first, claim=Claim("10.99.0.0/16", 1_000_000_000, 64)), None)
    local = bed.records.hosts()[0]
    bed.records.record_host(replace(local, claim=None), None)
    second = bed.add_host("rack2", "", ready=False)
    bed.hosts.reports["rack2"] = HostReport((), frozenset(), mtu=1500, cgroup_version=2, address="192.0.2.2")
    waiting = next(operation for operation in bed.outbox.pending(0.0) if operation.host_id == second.id)
    operation = await bed.run(waiting)
    assert operation.error is None
    ready = bed.records.host(second.id)
    assert (ready.state, ready.fabric_address) == (HostState.READY, "192.0.2.2")
    assert ready.claim is not None
    assert ready.claim.network == "10.99.0.0/16"
    assert bed.fabric.guarded == {first.id: {"192.0.2.2/32"}, second.id: {"192.0.2.1/32"}}
    assert {step.host for step in operation.steps if step.name == "guard_hosts"} == {"rack2"}


async def test_hosts_that_come_at_once_are_guarded_together(bed: Bed) -> None:
    hosts = bed.rack(12)
    guards = Guards(bed.records, cast("Fabric", Troubled("fabric", bed.fabric, bed.trouble)), ["198.51.100.0/24"])
    await asyncio.gather(*(guards.ensure() for _ in hosts))
    everyone = {f"{host.fabric_address}/32" for host in hosts} | {"198.51.100.0/24"}
    for host in hosts:
        assert bed.fabric.guarded[host.id] == everyone - {f"{host.fabric_address}/32"}
    assert bed.trouble.count("fabric.ensure_guarded") == len(bed.fabric.guarded), "once each, however many came"


async def test_hosts_with_wireguard_are_told_of_each_other_and_the_others_of_none(bed: Bed) -> None:
    def prepared(host: Host, end: TunnelEnd | None) -> Awaitable[object]:
        address = f"192.0.2.{host.name[-1]}"
        bed.hosts.reports[host.name] = HostReport((), frozenset(), 1440, 2, address=address, tunnel=end)
        return bed.run(bed.accept_task(host, OperationKind.PREPARE_HOST))

    one, two, three = (bed.add_host(f"rack{n}", "") for n in (1, 2, 3))
    ends = TunnelEnd(51820, "a="), TunnelEnd(51820, "b=")
    await prepared(one, ends[0])
    assert bed.fabric.tunnels == {one.id: frozenset()}
    await prepared(two, ends[1])
    await prepared(three, None)
    known = {one.id: {TunnelPeer("192.0.2.2", ends[1])}, two.id: {TunnelPeer("192.0.2.1", ends[0])}}
    assert bed.fabric.tunnels == known
    await prepared(two, None)
    assert bed.fabric.tunnels[one.id] == frozenset()


async def test_a_host_that_could_not_be_prepared_is_no_other_end_of_a_tunnel(bed: Bed) -> None:
    good, bad = bed.add_host("rack1", ""), bed.add_host("rack2", "", ready=False)
    lacking = Check("idmapped mounts", CheckState.MISSING, "tried: Invalid argument")
    end = TunnelEnd(51820, "a=")
    bed.hosts.reports["rack1"] = HostReport((), frozenset(), 1440, 2, address="192.0.2.1", tunnel=end)
    bed.hosts.reports["rack2"] = HostReport((lacking,), frozenset(), 1440, 2, address="192.0.2.2", tunnel=end)
    await bed.run(next(each for each in bed.outbox.pending(0.0) if each.host_id == bad.id))
    await bed.run(bed.accept_task(good, OperationKind.PREPARE_HOST))
    assert bed.records.host(bad.id).tunnel == end
    assert bed.fabric.tunnels == {good.id: frozenset()}


async def test_an_address_that_was_measured_follows_the_machine(bed: Bed) -> None:
    other, host = bed.add_host("rack2", "192.0.2.2"), bed.add_host("rack1", "")
    for address in ("192.0.2.1", "198.51.100.1"):
        addresses = (address, "203.0.113.1")
        bed.hosts.reports["rack1"] = HostReport((), frozenset(), 1500, 2, address=address, addresses=addresses)
        await bed.run(bed.accept_task(host, OperationKind.PREPARE_HOST))
        assert bed.records.host(host.id).fabric_address == address
        assert bed.fabric.guarded[other.id] == {f"{address}/32", "203.0.113.1/32"}, "all its addresses are guarded"


async def test_an_address_that_the_operator_gave_stays_whatever_is_measured(bed: Bed) -> None:
    host = bed.add_host("rack1", "192.0.2.1")
    bed.hosts.report = HostReport((), frozenset(), mtu=1500, cgroup_version=2, address="198.51.100.1")
    await bed.run(bed.accept_task(host, OperationKind.PREPARE_HOST))
    assert bed.records.host(host.id).fabric_address == "192.0.2.1"


async def test_a_machine_that_is_a_host_already_is_not_opened_and_not_purged_with_its_second_name(bed: Bed) -> None:
    first = bed.add_host("rack1", "192.0.2.1")
    second = bed.add_host("rack1b", "")
    bed.hosts.report = HostReport((), frozenset(), mtu=1500, cgroup_version=2, address="192.0.2.1")
    refused = await bed.run(bed.accept_task(second, OperationKind.PREPARE_HOST))
    assert refused.error is not None
    assert "rack1b has the host key of rack1, or its address for other hosts (192.0.2.1)" in refused.error.detail
    assert bed.records.host(second.id).state is HostState.ERROR
    again = await bed.run(bed.accept_task(first, OperationKind.PREPARE_HOST))
    assert again.error is None
    removed = await bed.run(bed.accept_task(second, OperationKind.REMOVE_HOST))
    assert removed.error is None
    assert [host.name for host in bed.records.hosts()] == ["metal", "rack1"]
    assert bed.hosts.released == []


async def test_a_host_that_can_not_claim_the_others_network_is_not_opened(bed: Bed) -> None:
    host = bed.add_host("rack1", "192.0.2.1")
    bed.records.record_host(replace(host, claim=Claim("10.99.0.0/16", 1_000_000_000, 64)), None)
    operation = await bed.run(bed.accept_task(host, OperationKind.PREPARE_HOST))
    assert operation.error is not None
    assert "rack1 has claimed 10.99.0.0/16 for nodes, but the other hosts have 10.64.0.0/16" in operation.error.detail
    assert len(steps_named(operation, "ensure_host")) == 1
    assert bed.records.host(host.id).state is HostState.ERROR


async def test_a_host_is_prepared_although_another_one_is_dead(bed: Bed) -> None:
    hosts = bed.rack(2)
    await bed.active(count=2)
    bed.kill(hosts[0])
    operation = await bed.run(bed.accept_task(hosts[1], OperationKind.PREPARE_HOST))
    assert operation.error is None
    (guarded,) = steps_named(operation, "guard_hosts")
    assert "rack1 was left out" in str(guarded.note)


async def test_a_host_is_prepared_although_another_one_is_not_the_machine_that_it_was(bed: Bed) -> None:
    hosts = bed.rack(2)

    def changed(name: str) -> None:
        if name == "rack1":
            raise HostKeyChanged("rack1 has another key")

    bed.fabric.fail = changed
    operation = await bed.run(bed.accept_task(hosts[1], OperationKind.PREPARE_HOST))
    assert operation.error is None
    (guarded,) = steps_named(operation, "guard_hosts")
    assert guarded.note == "rack1 was left out: rack1 has another key"
    assert bed.fabric.guarded[hosts[1].id] == {"192.0.2.1/32"}


async def test_a_second_name_of_a_machine_that_was_never_measured_takes_nothing_along(bed: Bed) -> None:
    await bed.active()
    known = next(iter(bed.nodes.plans.values()))
    second = bed.add_host("alias", "")
    bed.nodes.plans[known.container] = replace(known, host=second)  # as is seen under that name
    removed = await bed.run(bed.accept_task(second, OperationKind.REMOVE_HOST))
    assert removed.error is None
    [released] = steps_named(removed, "release_host")
    assert released.note == "The machine is left as it is, because it carries nodes of the host metal: it is that too."
    assert (bed.hosts.released, known.container in bed.nodes.plans) == ([], True)


async def test_a_host_that_is_new_is_cleared_of_what_nobody_knows(bed: Bed) -> None:
    """It was removed while it was away, and has brought back what it carried."""
    await bed.active()
    known = next(iter(bed.nodes.plans.values()))
    new = bed.add_host("rack1", "", ready=False)
    left = replace(orphan_of(known), host=new)
    bed.nodes.plans[left.container] = left
    bed.fabric.segments[new.id, "tst0-br9"] = replace(known.segment, cluster_id=left.stamp.cluster_id)
    bed.fabric.publications[new.id] = frozenset({Publication(80, "10.64.9.10", 8080)})
    bed.hosts.reports["rack1"] = HostReport((), frozenset(), mtu=1500, cgroup_version=2, address="192.0.2.1")
    operation = await bed.run(next(each for each in bed.outbox.pending(0.0) if each.host_id == new.id))
    assert operation.error is None
    [cleared] = steps_named(operation, "clear_host")
    assert cleared.note == f"Removed what it carried when it was removed itself: {left.container}."
    assert (list(bed.nodes.plans), bed.fabric.publications[new.id]) == ([known.container], frozenset())
    assert [host_id for host_id, _ in bed.fabric.segments] == [known.host.id]
