"""DrainHost: moves all nodes that can be moved off a host that takes no new ones, and says what is left and why."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.inputs import HostStep, MoveStep
    from activities.moves import MoveActivities
    from workflows.names import DRAIN_HOST, PROGRESS_QUERY, DrainHostInput
    from workflows.policies import MOVES, RECORD, REMOVE
    from workflows.story import Story
    from workflows.undo import each, raise_if_cancelled


@workflow.defn(name=DRAIN_HOST)
class DrainHost:
    """Has every cluster move its workers, as operations of the clusters' own. Cancelled, it leaves those under way."""

    @workflow.init
    def __init__(self, change: DrainHostInput) -> None:
        self._host = HostStep(change.operation_id, change.host_id, change.host_name)
        self._story = Story(change.operation_id)

    @workflow.run
    async def run(self, change: DrainHostInput) -> None:
        """Run the operation."""
        del change
        await self._story.tell(self._steps)

    @workflow.query(name=PROGRESS_QUERY)
    def progress(self) -> list[dict[str, str | None]]:
        """Return where each step is."""
        return self._story.progress()

    async def _steps(self) -> None:
        host = self._host
        move = MoveStep(host.operation_id, host.host_id, host.host)
        await self._story.run(MoveActivities.move_nodes, MOVES, move)
        for failure in await each(self._story.run(MoveActivities.remove_leftovers, REMOVE, host)):
            workflow.logger.warning("something is left on the host", exc_info=failure)
        raise_if_cancelled()
        await self._story.run(MoveActivities.check_empty, RECORD, host)
