"""RemoveHost: takes back what a host was given, and forgets it.

With force it does so too where the host carries nodes, or is dead. Workers are replaced on other hosts, without a word
to the old ones. A cluster whose manager was there has lost what it knew of itself: it goes into error, and says why.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hosts import HostActivities
    from activities.inputs import HostStep, MoveStep
    from activities.moves import MoveActivities
    from workflows.names import PROGRESS_QUERY, REMOVE_HOST, RemoveHostInput
    from workflows.policies import FORGET, GUARD, MOVES, RECORD, RELEASE, RELEASE_BY_FORCE
    from workflows.story import Story
    from workflows.undo import each, raise_if_cancelled


@workflow.defn(name=REMOVE_HOST)
class RemoveHost:
    """Removes a host that takes no new nodes any more. There is nothing to undo: a failed one is asked for again."""

    @workflow.init
    def __init__(self, change: RemoveHostInput) -> None:
        self._change = change
        self._host = HostStep(change.operation_id, change.host_id, change.host_name)
        self._story = Story(change.operation_id)

    @workflow.run
    async def run(self, change: RemoveHostInput) -> None:
        """Run the operation."""
        del change
        await self._story.tell(self._steps)

    @workflow.query(name=PROGRESS_QUERY)
    def progress(self) -> list[dict[str, str | None]]:
        """Return where each step is."""
        return self._story.progress()

    async def _steps(self) -> None:
        story, host = self._story, self._host
        if self._change.force:
            move = MoveStep(host.operation_id, host.host_id, host.host, dead=True)
            await story.run(MoveActivities.move_nodes, MOVES, move)
            for failure in await each(story.run(MoveActivities.release_host, RELEASE_BY_FORCE, host)):
                workflow.logger.warning("what is on the host stays there", exc_info=failure)
            raise_if_cancelled()
        else:
            await story.run(MoveActivities.check_empty, RECORD, host)
            await story.run(MoveActivities.release_host, RELEASE, host)
        await story.run(MoveActivities.forget_host, FORGET, host)
        for failure in await each(story.run(HostActivities.guard_hosts, GUARD, host)):
            workflow.logger.warning("guards of other hosts are left to the sweep", exc_info=failure)
