"""ShrinkCluster: drains the newest workers, takes them out of the cluster, and removes them."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.inputs import CountStep, NodesStep
    from activities.membership import MembershipActivities
    from activities.nodes import NodeActivities
    from activities.records import RecordActivities
    from domain.nodes import NodeRef
    from workflows.fabric_steps import settle
    from workflows.names import PROGRESS_QUERY, SHRINK_CLUSTER, ShrinkClusterInput
    from workflows.node_steps import on_node
    from workflows.policies import DRAIN, MEMBERSHIP, RECORD, REMOVE
    from workflows.story import Story
    from workflows.undo import in_parallel


@workflow.defn(name=SHRINK_CLUSTER)
class ShrinkCluster:
    """Removes workers from a running cluster. The manager is never among them."""

    @workflow.init
    def __init__(self, change: ShrinkClusterInput) -> None:
        self._change = change
        self._story = Story(change.operation_id, change.cluster_id)

    @workflow.run
    async def run(self, change: ShrinkClusterInput) -> None:
        """Run the operation."""
        del change
        await self._story.tell(self._steps)

    @workflow.query(name=PROGRESS_QUERY)
    def progress(self) -> list[dict[str, str | None]]:
        """Return where each step is."""
        return self._story.progress()

    async def _steps(self) -> None:
        story = self._story
        count = CountStep(story.step.operation_id, story.step.cluster_id, count=self._change.remove)
        nodes: list[NodeRef] = await story.run(RecordActivities.choose_removals, RECORD, count)
        story.undo.push(lambda: self._take_back(nodes))
        await in_parallel(*(story.run(MembershipActivities.drain_node, DRAIN, on_node(story, node)) for node in nodes))
        await in_parallel(*(self._remove(node) for node in nodes))
        self._story.undo.forget()
        await settle(story, nodes)

    async def _remove(self, node: NodeRef) -> None:
        """Remove one node; the count falls with its row, so that it is true also if the next one fails."""
        story = self._story
        await story.run(MembershipActivities.leave_node, MEMBERSHIP, on_node(story, node))
        await story.run(NodeActivities.remove_node, REMOVE, on_node(story, node))
        gone = NodesStep(story.step.operation_id, story.step.cluster_id, node_ids=[node.id])
        await story.run(RecordActivities.release_nodes, RECORD, gone)

    async def _take_back(self, nodes: list[NodeRef]) -> None:
        """Let the nodes that are still members take work again."""
        await in_parallel(
            *(
                self._story.run(MembershipActivities.undrain_node, MEMBERSHIP, on_node(self._story, node))
                for node in nodes
            )
        )
