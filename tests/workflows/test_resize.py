"""Growing and shrinking: all or nothing on the way up, never the manager on the way down."""

import pytest
from workflow_testbed import Bed, steps_named

from domain.clusters import ClusterStatus
from domain.errors import DiskFull
from domain.nodes import NodeState
from domain.operations import OperationState


async def test_grow_adds_members_and_proves_an_overlay_with_them(bed: Bed) -> None:
    cluster = await bed.active(count=1)
    operation = await bed.run(bed.accept_resize(cluster.id, 3))
    assert operation.state is OperationState.SUCCEEDED
    after = bed.cluster(cluster)
    assert (after.status, after.node_count) == (ClusterStatus.ACTIVE, 3)
    assert bed.members() == {"demo-1", "demo-2", "demo-3"}
    assert len(steps_named(operation, "verify_overlay")) == 1


@pytest.mark.parametrize("call", ["nodes.ensure", "orchestrator.join"])
@pytest.mark.parametrize("afterwards", [False, True], ids=["before", "after"])
async def test_grow_leaves_the_cluster_and_its_count_when_one_new_node_fails(
    bed: Bed, call: str, *, afterwards: bool
) -> None:
    cluster = await bed.active(count=2)
    bed.trouble.fail(call, DiskFull("the pool is full"), on="demo-4", afterwards=afterwards)
    operation = await bed.run(bed.accept_resize(cluster.id, 5))
    assert operation.state is OperationState.FAILED
    assert operation.error == DiskFull("metal: the pool is full").record()
    after = bed.cluster(cluster)
    assert (after.status, after.node_count, after.error) == (ClusterStatus.ACTIVE, 2, None)
    assert bed.names() == ["demo-1", "demo-2"]
    assert bed.members() == {"demo-1", "demo-2"}
    assert [node.name for node in bed.node_views(cluster)] == ["demo-1", "demo-2"]
    assert len(bed.fabric.segments) == 1


async def test_grow_leaves_the_count_when_a_host_is_full(bed: Bed) -> None:
    cluster = await bed.active(count=1)
    bed.ready_host(uid_ranges=2)
    operation = await bed.run(bed.accept_resize(cluster.id, 3))
    assert operation.error is not None
    assert operation.error.code == "no-room"
    assert bed.cluster(cluster).node_count == 1
    assert bed.trouble.count("nodes.ensure") == 0


async def test_shrink_drains_and_removes_the_newest_and_keeps_the_manager(bed: Bed) -> None:
    cluster = await bed.active(count=3)
    operation = await bed.run(bed.accept_resize(cluster.id, 1))
    assert operation.state is OperationState.SUCCEEDED
    after = bed.cluster(cluster)
    assert (after.status, after.node_count) == (ClusterStatus.ACTIVE, 1)
    assert bed.names() == ["demo-1"]
    assert bed.members() == {"demo-1"}
    order = [call for call, subject in bed.trouble.calls if subject == "demo-3" and not call.startswith("records")]
    assert order == ["orchestrator.drain", "orchestrator.leave", "nodes.remove"]


async def test_a_shrink_that_can_not_drain_lets_its_nodes_work_again(bed: Bed) -> None:
    cluster = await bed.active(count=3)
    bed.trouble.fail("orchestrator.drain", DiskFull("no room elsewhere"), on="demo-3")
    operation = await bed.run(bed.accept_resize(cluster.id, 1))
    assert operation.state is OperationState.FAILED
    after = bed.cluster(cluster)
    assert (after.status, after.node_count) == (ClusterStatus.ACTIVE, 3)
    assert bed.members() == {"demo-1", "demo-2", "demo-3"}
    assert {node.state for node in bed.node_views(cluster)} == {NodeState.ACTIVE}
    assert bed.trouble.count("orchestrator.undrain") == 2


async def test_a_shrink_that_stops_half_way_counts_what_is_left(bed: Bed) -> None:
    cluster = await bed.active(count=3)
    failing = bed.trouble.hold("nodes.remove", on="demo-3")
    bed.trouble.fail("nodes.remove", DiskFull("it does not go"), on="demo-3")
    handle = await bed.start(bed.accept_resize(cluster.id, 1).operation)
    await failing.wait_reached()
    await bed.until(lambda: bed.cluster(cluster).node_count == 2)
    failing.release()
    await bed.end(handle)
    after = bed.cluster(cluster)
    assert (after.status, after.node_count) == (ClusterStatus.ACTIVE, 2)
    assert bed.names() == ["demo-1", "demo-3"]
