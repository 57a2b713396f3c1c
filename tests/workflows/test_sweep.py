"""The sweep: what has no row goes, in time."""

from dataclasses import replace
from typing import cast

import pytest
from record_histories import orphan_of
from temporalio.client import WorkflowFailureError
from workflow_testbed import Bed

from activities.inputs import Orphan, OrphanStep
from activities.maintenance import MaintenanceActivities
from activities.ports import Fabric, Nodes
from domain.clusters import Health
from domain.errors import CommandFailed, DiskFull
from domain.nodes import NodePlan


def add_orphan(bed: Bed) -> NodePlan:
    plan = next(iter(bed.nodes.plans.values()))
    orphan = orphan_of(plan)
    bed.nodes.plans[orphan.container] = orphan
    bed.fabric.segments[plan.host.id, "tst0-br9"] = replace(plan.segment, cluster_id=orphan.stamp.cluster_id)
    return orphan


async def test_an_orphan_past_its_grace_is_removed_and_nothing_else(bed: Bed) -> None:
    cluster = await bed.active(count=2)
    add_orphan(bed)
    await bed.sweep(grace_s=0)
    assert bed.names() == ["demo-1", "demo-2"]
    assert len(bed.fabric.segments) == 1
    assert bed.cluster(cluster).health is Health.HEALTHY


async def test_old_node_images_are_collected_on_every_host(bed: Bed) -> None:
    await bed.sweep()
    assert bed.images.collected == [host.id for host in bed.records.hosts()]


async def test_a_bridge_that_another_cluster_has_taken_meanwhile_is_kept(bed: Bed) -> None:
    await bed.active()
    ((host_id, bridge),) = bed.fabric.segments
    maintenance = MaintenanceActivities(bed.records, cast("Nodes", bed.nodes), cast("Fabric", bed.fabric))
    await maintenance.remove_orphan(OrphanStep("", host_id, "metal", Orphan("of-another", bridge=bridge)))
    assert len(bed.fabric.segments) == 1


async def test_a_young_orphan_is_kept(bed: Bed) -> None:
    await bed.active()
    orphan = add_orphan(bed)
    await bed.sweep(grace_s=900)
    await bed.sweep(grace_s=900)
    assert orphan.container in bed.nodes.plans
    assert len(bed.fabric.segments) == 2


async def test_a_busy_cluster_is_not_swept(bed: Bed) -> None:
    cluster = await bed.active()
    plan = next(iter(bed.nodes.plans.values()))
    stray = replace(plan, container="tst0-demo-9-999999")
    bed.nodes.plans[stray.container] = stray
    held = bed.trouble.hold("nodes.ensure", on="demo-2")
    handle = await bed.start(bed.accept_resize(cluster.id, 2).operation)
    await held.wait_reached()
    await bed.sweep()
    assert stray.container in bed.nodes.plans
    held.release()
    await bed.end(handle)
    await bed.sweep()
    assert stray.container not in bed.nodes.plans
    assert bed.names() == ["demo-1", "demo-2"]


async def test_an_orphan_that_does_not_go_is_tried_again_by_the_next_sweep(patient_bed: Bed) -> None:
    bed = patient_bed
    await bed.active()
    orphan = add_orphan(bed)
    bed.trouble.fail("nodes.remove", CommandFailed("busy"), times=3)
    await bed.sweep()
    assert orphan.container not in bed.nodes.plans
    assert bed.trouble.count("nodes.remove") == 4


async def test_a_host_that_can_not_be_looked_at_fails_the_sweep_and_removes_nothing(bed: Bed) -> None:
    await bed.active()
    orphan = add_orphan(bed)
    bed.trouble.fail("nodes.found", DiskFull("the host does not answer"))
    with pytest.raises(WorkflowFailureError):
        await bed.sweep()
    assert orphan.container in bed.nodes.plans
