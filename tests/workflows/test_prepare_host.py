"""Preparing a host: it is opened for nodes, or says what it lacks, and its nodes come back."""

from temporalio.client import WorkflowExecutionStatus
from workflow_testbed import Bed, steps_named

from domain.errors import DiskFull
from domain.hosts import CAP_ESP, Check, CheckState, HostReport, HostState
from domain.operations import OperationState
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
