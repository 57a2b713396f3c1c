"""Deleting: it always finishes, and what a host can't give up is left to the sweep."""

import pytest
from workflow_testbed import Bed

from domain.errors import CommandFailed, DiskFull, NotFound
from domain.operations import OperationState


async def test_delete_leaves_nothing(bed: Bed) -> None:
    cluster = await bed.active(count=3)
    operation = await bed.run(bed.repository.accept_delete(cluster.id, force=False))
    assert operation.state is OperationState.SUCCEEDED
    with pytest.raises(NotFound):
        bed.cluster(cluster)
    bed.assert_nothing_left()


async def test_delete_of_a_cluster_that_never_came_to_be_leaves_nothing(bed: Bed) -> None:
    bed.trouble.fail("records.reserve_nodes", DiskFull("no"))
    accepted = bed.accept_create(count=3)
    await bed.run(accepted)
    operation = await bed.run(bed.repository.accept_delete(accepted.cluster.id, force=False))
    assert operation.state is OperationState.SUCCEEDED
    bed.assert_nothing_left()


async def test_delete_finishes_although_a_node_and_the_network_stay_until_the_sweep(patient_bed: Bed) -> None:
    bed = patient_bed
    cluster = await bed.active(count=3)
    bed.trouble.fail("nodes.remove", CommandFailed("the host does not answer"), on="demo-2")
    bed.trouble.fail("fabric.remove_segment", CommandFailed("the host does not answer"))
    operation = await bed.run(bed.repository.accept_delete(cluster.id, force=False))
    assert operation.state is OperationState.SUCCEEDED
    with pytest.raises(NotFound):
        bed.cluster(cluster)
    assert bed.names() == ["demo-2"]
    assert bed.rows("secrets") == 0
    assert [str(node.state) for node in bed.records.nodes(cluster.id)] == ["leftover"]

    bed.trouble.heal()
    await bed.sweep()
    await bed.sweep()
    bed.assert_nothing_left()
