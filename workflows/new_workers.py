"""What growing and moving have in common: new workers are made, join, and are proved to be reached by all."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.fabric import FabricActivities
    from activities.images import ImageActivities
    from activities.inputs import CountStep, OverlayStep
    from activities.membership import MembershipActivities
    from activities.nodes import NodeActivities
    from activities.overlay import OverlayActivities
    from activities.records import RecordActivities
    from domain.nodes import NodeRef
    from domain.overlays import DEFAULT_OVERLAY
    from workflows.fabric_steps import join_hosts, settle
    from workflows.node_steps import on_node, remove_reserved
    from workflows.policies import IMAGE, LOAD, MEMBERSHIP, NODE, PROBE, RECORD, RESERVE, VERIFY
    from workflows.story import Story
    from workflows.undo import in_parallel


async def add_workers(story: Story, count: int) -> list[NodeRef]:
    """Make `count` workers members of the cluster, prove that all reach each other, and return them.

    What undoes it is registered with the story.
    """
    story.undo.push(lambda: _take_out(story))
    reserve = CountStep(story.step.operation_id, story.step.cluster_id, count=count)
    workers: list[NodeRef] = await story.run(RecordActivities.reserve_nodes, RESERVE, reserve)
    await in_parallel(join_hosts(story), story.run(ImageActivities.ensure_images, IMAGE))
    await in_parallel(*(_join(story, worker) for worker in workers))
    await _verify(story)
    return workers


async def _join(story: Story, worker: NodeRef) -> None:
    await story.run(NodeActivities.ensure_node, NODE, on_node(story, worker))
    await story.run(ImageActivities.load_images, LOAD, on_node(story, worker))
    await story.run(MembershipActivities.join_node, MEMBERSHIP, on_node(story, worker))


async def _verify(story: Story) -> None:
    """Prove that hosts reach each other, then one overlay network with the new nodes in it: they all go one way."""
    names, _ = await in_parallel(
        story.run(RecordActivities.overlay_names, RECORD), story.run(FabricActivities.probe_segment, PROBE)
    )
    if names:
        chosen = DEFAULT_OVERLAY if DEFAULT_OVERLAY in names else names[0]
        step = OverlayStep(story.step.operation_id, story.step.cluster_id, overlay=chosen)
        await story.run(OverlayActivities.verify_overlay, VERIFY, step)


async def _take_out(story: Story) -> None:
    workers = await remove_reserved(story, leave=True)
    if workers:
        await settle(story, workers)
