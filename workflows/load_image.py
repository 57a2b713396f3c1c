"""LoadImage: puts the container images of an archive on every node of a cluster."""

from dataclasses import replace

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.images import ImageActivities
    from activities.inputs import ImageStep
    from activities.records import RecordActivities
    from domain.nodes import NodeRef
    from workflows.names import LOAD_IMAGE, PROGRESS_QUERY, LoadImageInput
    from workflows.policies import LOAD, RECORD
    from workflows.story import Story
    from workflows.undo import in_parallel


@workflow.defn(name=LOAD_IMAGE)
class LoadImage:
    """Loads an archive into all nodes at once."""

    @workflow.init
    def __init__(self, change: LoadImageInput) -> None:
        self._step = ImageStep(change.operation_id, change.cluster_id, digest=change.digest)
        self._story = Story(change.operation_id, change.cluster_id)

    @workflow.run
    async def run(self, change: LoadImageInput) -> None:
        """Run the operation."""
        del change
        await self._story.tell(self._steps)

    @workflow.query(name=PROGRESS_QUERY)
    def progress(self) -> list[dict[str, str | None]]:
        """Return where each step is."""
        return self._story.progress()

    async def _steps(self) -> None:
        nodes: list[NodeRef] = await self._story.run(RecordActivities.cluster_nodes, RECORD)
        await in_parallel(
            *(self._story.run(ImageActivities.load_image, LOAD, replace(self._step, node=node)) for node in nodes)
        )
