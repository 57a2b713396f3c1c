"""MoveNodes: puts workers elsewhere in the place of those that a cluster has on a host: new ones in, then old ones out.

The host is cordoned, so that the new ones come elsewhere. Until they are members, and were proved, all can be undone;
from there on what goes wrong leaves the cluster with more nodes than it had, never with fewer.

On a host that is dead there is nothing to lose by taking the old ones out: where no others can take their place, the
cluster goes on with fewer, and the operation says why.
"""

from dataclasses import replace

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.failures import record_of
    from activities.membership import MembershipActivities
    from activities.moves import MoveActivities
    from activities.records import RecordActivities
    from domain.nodes import NodeRef
    from workflows.fabric_steps import settle
    from workflows.names import MOVE_NODES, PROGRESS_QUERY, MoveNodesInput
    from workflows.new_workers import add_workers
    from workflows.node_steps import on_node, remove_nodes, several
    from workflows.policies import DRAIN, MEMBERSHIP, RECORD
    from workflows.story import Story
    from workflows.undo import each, in_parallel, is_foreseen, raise_if_cancelled, until_done


@workflow.defn(name=MOVE_NODES)
class MoveNodes:
    """Moves a cluster's workers off a host. Their names and addresses change; what ran on them starts elsewhere."""

    @workflow.init
    def __init__(self, change: MoveNodesInput) -> None:
        self._change = change
        self._story = Story(change.operation_id, change.cluster_id)

    @workflow.run
    async def run(self, change: MoveNodesInput) -> None:
        """Run the operation."""
        del change
        await self._story.tell(self._steps)

    @workflow.query(name=PROGRESS_QUERY)
    def progress(self) -> list[dict[str, str | None]]:
        """Return where each step is."""
        return self._story.progress()

    async def _steps(self) -> None:
        story = self._story
        old: list[NodeRef] = await story.run(MoveActivities.choose_moves, RECORD)
        if not old:
            return
        if self._change.dead:
            await self._replace_dead(old)
            return
        await self._replace(old)
        story.undo.push(lambda: self._take_back(old))
        await in_parallel(*(story.run(MembershipActivities.drain_node, DRAIN, on_node(story, node)) for node in old))
        failures = await each(*(self._retire(node) for node in old))
        await settle(story, old)
        if failures:
            raise failures[0]

    async def _replace(self, old: list[NodeRef]) -> None:
        """Make as many new workers as there are old ones, and let them count as members."""
        story = self._story
        await add_workers(story, len(old))
        await story.run(MoveActivities.admit_nodes, RECORD)
        story.undo.forget()

    async def _retire(self, node: NodeRef) -> None:
        """Let an old worker leave, and remove it; what its host can't give up in time is left to the sweep."""
        await self._story.run(MembershipActivities.leave_node, MEMBERSHIP, on_node(self._story, node))
        await remove_nodes(self._story, [node])

    async def _replace_dead(self, old: list[NodeRef]) -> None:
        story = self._story
        failure: BaseException | None = None
        try:
            await self._replace(old)
        except BaseException as error:
            raise_if_cancelled()
            if not is_foreseen(error):
                raise
            failure = error
            await until_done(story.undo.run())
        left = (story.run(MembershipActivities.leave_node, MEMBERSHIP, on_node(story, node)) for node in old)
        for failed in await each(*left):
            workflow.logger.warning("the cluster still lists a node that went with its host", exc_info=failed)
        await story.run(RecordActivities.release_nodes, RECORD, several(story, [node.id for node in old]))
        await settle(story, old)
        if failure is not None:
            raise _not_replaced(old, failure)

    async def _take_back(self, nodes: list[NodeRef]) -> None:
        """Let the old nodes that are still members take work again."""
        story = self._story
        await in_parallel(
            *(story.run(MembershipActivities.undrain_node, MEMBERSHIP, on_node(story, node)) for node in nodes)
        )


def _not_replaced(old: list[NodeRef], failure: BaseException) -> ApplicationError:
    why = record_of(failure)
    record = replace(
        why,
        detail=f"{_named(old)} went with the dead host {old[0].host}, and could not be replaced: {why.detail}",
        remedy=f"{why.remedy} Then grow the cluster: it goes on with fewer nodes until then.".strip(),
    )
    return ApplicationError(f"{record.title}: {record.detail}", record, type=record.code)


def _named(nodes: list[NodeRef]) -> str:
    return ", ".join(node.name for node in nodes)
