"""Overlay networks: made and proved, or gone again."""

from temporalio.client import WorkflowExecutionStatus
from workflow_testbed import Bed, steps_named

from domain.clusters import ClusterStatus
from domain.errors import OverlayFailed, OverlayUnreachable
from domain.hosts import CAP_ESP
from domain.operations import OperationState
from domain.overlays import DEFAULT_OVERLAY, OverlayState


def made(bed: Bed) -> set[str]:
    (overlays,) = bed.orchestrator.overlays.values()
    return set(overlays)


async def test_an_overlay_is_made_and_proved_and_removed(bed: Bed) -> None:
    cluster = await bed.active(count=2)
    assert (await bed.run(bed.accept_overlay(cluster.id))).state is OperationState.SUCCEEDED
    overlay = bed.overlay_views(cluster)["extra"]
    assert (overlay.state, overlay.verified_at is not None) == (OverlayState.ACTIVE, True)
    assert made(bed) == {DEFAULT_OVERLAY, "extra"}

    removal, _view = bed.repository.accept_overlay_removal(cluster.id, "extra")
    assert (await bed.run(removal)).state is OperationState.SUCCEEDED
    assert made(bed) == {DEFAULT_OVERLAY}
    assert set(bed.overlay_views(cluster)) == {DEFAULT_OVERLAY}
    assert bed.cluster(cluster).status is ClusterStatus.ACTIVE


async def test_clusters_prove_their_overlays_side_by_side(bed: Bed) -> None:
    held = bed.trouble.hold("orchestrator.verify")
    handles = [await bed.start(bed.accept_create(name, 1).operation) for name in ("one", "other")]
    await bed.until(lambda: bed.trouble.count("orchestrator.verify") == len(handles))
    held.release()
    assert [await bed.end(handle) for handle in handles] == [WorkflowExecutionStatus.COMPLETED] * 2


async def test_an_overlay_that_carries_no_traffic_is_undone_at_once(bed: Bed) -> None:
    cluster = await bed.active(count=2)
    bed.trouble.fail("orchestrator.verify", OverlayUnreachable("demo-2 does not reach demo-1"))
    operation = await bed.run(bed.accept_overlay(cluster.id))
    assert operation.error is not None
    assert operation.error.code == OverlayUnreachable.code
    assert len(steps_named(operation, "verify_overlay")) == 1
    assert made(bed) == {DEFAULT_OVERLAY}
    assert set(bed.overlay_views(cluster)) == {DEFAULT_OVERLAY}
    assert bed.cluster(cluster).status is ClusterStatus.ACTIVE


async def test_an_encrypted_overlay_is_refused_where_a_host_has_no_esp(bed: Bed) -> None:
    bed.ready_host(capabilities=[CAP_ESP])
    cluster = await bed.active()
    accepted = bed.accept_overlay(cluster.id, encrypted=True)
    bed.ready_host()
    operation = await bed.run(accepted)
    assert operation.error is not None
    assert operation.error.code == "encryption-unsupported"
    assert "metal" in operation.error.detail
    assert len(steps_named(operation, "ensure_overlay")) == 1
    assert bed.trouble.count("orchestrator.ensure_overlay") == 0
    assert set(bed.overlay_views(cluster)) == {DEFAULT_OVERLAY}


async def test_an_overlay_in_use_stays_with_the_reason_why(patient_bed: Bed) -> None:
    bed = patient_bed
    cluster = await bed.active()
    await bed.run(bed.accept_overlay(cluster.id))
    bed.trouble.fail("orchestrator.remove_overlay", OverlayFailed("a container uses it"))
    removal, _view = bed.repository.accept_overlay_removal(cluster.id, "extra")
    operation = await bed.run(removal)
    assert operation.state is OperationState.FAILED
    overlay = bed.overlay_views(cluster)["extra"]
    assert (overlay.state, overlay.error) == (OverlayState.ACTIVE, OverlayFailed("a container uses it").record())
