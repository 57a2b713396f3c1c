"""GrowCluster: adds all the workers asked for, or leaves the cluster and its count as they were."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.names import GROW_CLUSTER, PROGRESS_QUERY, GrowClusterInput
    from workflows.new_workers import add_workers
    from workflows.story import Story


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
        await add_workers(self._story, self._change.add)
