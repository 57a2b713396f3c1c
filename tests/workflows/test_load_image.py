"""Loading container images: on all nodes or failed, on new nodes too, and nothing kept of a cluster that goes."""

import pytest
from workflow_testbed import Bed, states, steps_named

from domain.clusters import ClusterStatus
from domain.errors import DockerSilent, ImageLoadFailed
from domain.images import ImageState
from domain.operations import OperationState, StepState
from store.views import ClusterView

LOAD = "orchestrator.load_image"


def state(bed: Bed, cluster: ClusterView) -> ImageState:
    (image,) = bed.repository.images(cluster.id)
    return image.state


def archives(bed: Bed, cluster: ClusterView) -> set[str]:
    """Return the names of the archives that nodes of the cluster are to have."""
    return {f"{image.digest.removeprefix('sha256:')}.tar" for image in bed.repository.images(cluster.id)}


async def test_an_archive_goes_to_all_nodes_at_once(bed: Bed) -> None:
    cluster = await bed.active(count=3)
    loading = bed.trouble.hold(LOAD)
    handle = await bed.start(bed.accept_image(cluster).operation)
    await bed.until(lambda: bed.trouble.count(LOAD) == 3)
    assert state(bed, cluster) is ImageState.PENDING
    loading.release()
    await bed.end(handle)
    assert state(bed, cluster) is ImageState.ACTIVE
    assert bed.orchestrator.images == dict.fromkeys(("demo-1", "demo-2", "demo-3"), archives(bed, cluster))


async def test_a_load_says_of_each_node_how_much_it_took(bed: Bed) -> None:
    cluster = await bed.active(count=2)
    operation = await bed.run(bed.accept_image(cluster, b"x" * 3 * 2**20))
    assert operation.state is OperationState.SUCCEEDED
    notes = {step.node: step.note for step in steps_named(operation, "load_image")}
    assert notes.keys() == {"demo-1", "demo-2"}
    assert all(note and note.startswith("3.0 MiB in ") for note in notes.values())


async def test_a_node_that_refuses_the_archive_fails_the_load_at_once_and_is_named(bed: Bed) -> None:
    cluster = await bed.active(count=3)
    bed.trouble.fail(LOAD, ImageLoadFailed("containerd on demo-2 says: no space left on device"), on="demo-2")
    operation = await bed.run(bed.accept_image(cluster))
    assert operation.state is OperationState.FAILED
    assert operation.error is not None
    assert (operation.error.code, "demo-2" in operation.error.detail) == ("image-load-failed", True)
    assert states(steps_named(operation, "load_image", "demo-2")) == [StepState.FAILED]
    assert state(bed, cluster) is ImageState.ERROR
    after = bed.cluster(cluster)
    assert (after.status, after.node_count) == (ClusterStatus.ACTIVE, 3)


async def test_a_load_that_failed_may_be_done_again(bed: Bed) -> None:
    cluster = await bed.active(count=2)
    bed.trouble.fail(LOAD, ImageLoadFailed("no room"), on="demo-2", times=1)
    await bed.run(bed.accept_image(cluster))
    assert state(bed, cluster) is ImageState.ERROR
    await bed.run(bed.accept_image(cluster))
    assert state(bed, cluster) is ImageState.ACTIVE
    assert bed.orchestrator.images["demo-2"] == archives(bed, cluster)


async def test_a_node_that_is_silent_for_a_moment_gets_the_archive_later(bed: Bed) -> None:
    cluster = await bed.active(count=2)
    bed.trouble.fail(LOAD, DockerSilent("it starts just now"), on="demo-2", times=2)
    operation = await bed.run(bed.accept_image(cluster))
    assert operation.state is OperationState.SUCCEEDED
    assert states(steps_named(operation, "load_image", "demo-2")) == [StepState.FAILED] * 2 + [StepState.SUCCEEDED]


async def test_a_node_that_is_silent_for_long_fails_the_load(patient_bed: Bed) -> None:
    bed = patient_bed
    cluster = await bed.active(count=2)
    bed.trouble.fail(LOAD, DockerSilent("demo-2 does not answer"), on="demo-2")
    operation = await bed.run(bed.accept_image(cluster))
    assert operation.state is OperationState.FAILED
    assert operation.error is not None
    assert operation.error.code == "docker-silent"
    assert bed.trouble.count(LOAD, on="demo-2") == 8


async def test_a_cancelled_load_leaves_the_cluster_as_it_is(bed: Bed) -> None:
    cluster = await bed.active(count=2)
    loading = bed.trouble.hold(LOAD, on="demo-2")
    handle = await bed.start(bed.accept_image(cluster).operation)
    await loading.wait_reached()
    await handle.cancel()
    await bed.end(handle)
    assert bed.cluster(cluster).status is ClusterStatus.ACTIVE
    assert state(bed, cluster) is ImageState.ERROR


async def test_new_nodes_get_the_clusters_images_before_they_join(bed: Bed) -> None:
    cluster = await bed.active(count=1)
    for content in (b"one", b"two", b"three"):
        await bed.run(bed.accept_image(cluster, content))
    forgotten = bed.repository.images(cluster.id)[1].digest
    bed.repository.forget_image(cluster.id, forgotten)
    bed.trouble.calls.clear()
    operation = await bed.run(bed.accept_resize(cluster.id, 2))
    assert operation.state is OperationState.SUCCEEDED
    order = [call for call, node in bed.trouble.calls if node == "demo-2" and call.startswith("orchestrator")]
    assert order == [LOAD, LOAD, "orchestrator.join"]
    assert bed.orchestrator.images["demo-2"] == archives(bed, cluster)


async def test_an_archive_that_is_gone_does_not_hinder_a_grow(bed: Bed) -> None:
    cluster = await bed.active(count=1)
    await bed.run(bed.accept_image(cluster))
    (image,) = bed.repository.images(cluster.id)
    bed.archives.discard(cluster.id, image.digest)
    operation = await bed.run(bed.accept_resize(cluster.id, 2))
    assert operation.state is OperationState.SUCCEEDED
    assert "demo-2" not in bed.orchestrator.images


async def test_a_grow_whose_node_does_not_take_the_images_is_undone(bed: Bed) -> None:
    cluster = await bed.active(count=1)
    await bed.run(bed.accept_image(cluster))
    bed.trouble.fail(LOAD, ImageLoadFailed("no room"), on="demo-3")
    operation = await bed.run(bed.accept_resize(cluster.id, 3))
    assert operation.state is OperationState.FAILED
    assert (bed.names(), bed.members()) == (["demo-1"], {"demo-1"})
    assert bed.cluster(cluster).node_count == 1


@pytest.mark.parametrize("trouble", [False, True])
async def test_a_deleted_cluster_leaves_no_archives(bed: Bed, *, trouble: bool) -> None:
    cluster = await bed.active(count=1)
    await bed.run(bed.accept_image(cluster))
    archive = bed.archives.path(cluster.id, bed.repository.images(cluster.id)[0].digest)
    assert archive.exists()
    if trouble:
        bed.trouble.fail("archives.discard_all", OSError("the disk is away"), times=1)
    await bed.run(bed.repository.accept_delete(cluster.id, force=False))
    assert not archive.parent.exists()
    bed.assert_nothing_left()
