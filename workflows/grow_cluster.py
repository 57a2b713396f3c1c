"""GrowCluster: adds all the workers asked for, or leaves the cluster and its count as they were."""

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
    from workflows.names import GROW_CLUSTER, PROGRESS_QUERY, GrowClusterInput
    from workflows.node_steps import on_node, remove_reserved
    from workflows.policies import IMAGE, LOAD, MEMBERSHIP, NETWORK, NODE, RECORD, RESERVE, VERIFY
    from workflows.story import Story
    from workflows.undo import in_parallel


@workflow.defn(name=GROW_CLUSTER)
class GrowCluster:
    """Adds workers to a running cluster."""

    @workflow.init
    def __init__(self, change: GrowClusterInput) -> None:
        self._change = change
        self._story = Story(change.operation_id, change.cluster_id)

    @workflow.run
    async def run(self, change: GrowClusterInput) -> None:
        """Run the operation."""
        del change
        await self._story.tell(self._steps)

    @workflow.query(name=PROGRESS_QUERY)
    def progress(self) -> list[dict[str, str | None]]:
        """Return where each step is."""
        return self._story.progress()

    async def _steps(self) -> None:
        story = self._story
        story.undo.push(lambda: remove_reserved(story, leave=True))
        reserve = CountStep(story.step.operation_id, story.step.cluster_id, count=self._change.add)
        workers = await story.run(RecordActivities.reserve_nodes, RESERVE, reserve)
        await in_parallel(
            story.run(FabricActivities.ensure_segment, NETWORK),
            story.run(ImageActivities.ensure_images, IMAGE),
        )
        await in_parallel(*(self._join(worker) for worker in workers))
        await self._verify()

    async def _join(self, worker: NodeRef) -> None:
        await self._story.run(NodeActivities.ensure_node, NODE, on_node(self._story, worker))
        await self._story.run(ImageActivities.load_images, LOAD, on_node(self._story, worker))
        await self._story.run(MembershipActivities.join_node, MEMBERSHIP, on_node(self._story, worker))

    async def _verify(self) -> None:
        """Prove one overlay network with the new nodes in it: they all go the same way."""
        names = await self._story.run(RecordActivities.overlay_names, RECORD)
        if names:
            chosen = DEFAULT_OVERLAY if DEFAULT_OVERLAY in names else names[0]
            step = OverlayStep(self._change.operation_id, self._change.cluster_id, overlay=chosen)
            await self._story.run(OverlayActivities.verify_overlay, VERIFY, step)
