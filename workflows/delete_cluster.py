"""DeleteCluster: removes a cluster in whatever state it is, and always finishes."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.credentials import CredentialActivities
    from activities.images import ImageActivities
    from activities.records import RecordActivities
    from domain.nodes import NodeRef
    from workflows.fabric_steps import remove_network
    from workflows.names import DELETE_CLUSTER, PROGRESS_QUERY, DeleteClusterInput
    from workflows.node_steps import remove_nodes
    from workflows.policies import RECORD
    from workflows.story import Story
    from workflows.undo import each, in_parallel, raise_if_cancelled


@workflow.defn(name=DELETE_CLUSTER)
class DeleteCluster:
    """Removes nodes, network and keys. What a host can't give up in time is left to the sweep."""

    @workflow.init
    def __init__(self, change: DeleteClusterInput) -> None:
        self._story = Story(change.operation_id, change.cluster_id)

    @workflow.run
    async def run(self, change: DeleteClusterInput) -> None:
        """Run the operation."""
        del change
        await self._story.tell(self._steps)

    @workflow.query(name=PROGRESS_QUERY)
    def progress(self) -> list[dict[str, str | None]]:
        """Return where each step is."""
        return self._story.progress()

    async def _steps(self) -> None:
        story = self._story
        nodes: list[NodeRef] = await story.run(RecordActivities.cluster_nodes, RECORD)
        left = {node.id for node in await remove_nodes(story, nodes)}
        for failure in await each(remove_network(story, nodes, left)):
            workflow.logger.warning("the cluster's network is left to the sweep", exc_info=failure)
        raise_if_cancelled()
        await in_parallel(
            story.run(CredentialActivities.discard_secrets, RECORD),
            story.run(ImageActivities.discard_images, RECORD),
        )
