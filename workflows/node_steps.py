"""Steps on nodes that several workflows share."""

from collections.abc import Sequence
from dataclasses import replace

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.inputs import NodesStep, Step
    from activities.membership import MembershipActivities
    from activities.nodes import NodeActivities
    from activities.records import RecordActivities
    from domain.nodes import NodeRef, NodeRole
    from workflows.policies import MEMBERSHIP, NODE, RECORD, REMOVE, StepPolicy
    from workflows.story import Story
    from workflows.undo import each, in_parallel, is_foreseen


def on_node(story: Story, node: NodeRef) -> Step:
    """Return the story's step, on `node`."""
    return replace(story.step, node=node)


async def start_nodes(story: Story, nodes: Sequence[Step], policy: StepPolicy = NODE) -> None:
    """Start the nodes of one cluster, the manager first: each step is on one of them.

    A worker that is up before its manager can't join Docker's gossip, and tries again only a minute later. A node
    that does not start keeps no other from starting; the first such failure is raised.
    """
    failures: list[BaseException] = []
    for role in (NodeRole.MANAGER, NodeRole.WORKER):
        chosen = [step for step in nodes if step.node is not None and step.node.role == role]
        failures += await each(*(story.run(NodeActivities.ensure_node, policy, step) for step in chosen))
    if failures:
        raise failures[0]


async def remove_nodes(story: Story, nodes: Sequence[NodeRef], *, leave: bool = False) -> list[NodeRef]:
    """Remove the containers of `nodes` at once, out of the cluster first with `leave`, and release what they held.

    What can't be removed in time keeps its reservations, and is left to the sweep: that is returned.
    """
    if not nodes:
        return []
    gone = await in_parallel(*(_removed(story, node, leave=leave) for node in nodes))
    removed = [node.id for node, is_gone in zip(nodes, gone, strict=True) if is_gone]
    left = [node.id for node, is_gone in zip(nodes, gone, strict=True) if not is_gone]
    if left:
        await story.run(RecordActivities.mark_nodes_leftover, RECORD, several(story, left))
    if removed:
        await story.run(RecordActivities.release_nodes, RECORD, several(story, removed))
    return [node for node in nodes if node.id in left]


async def remove_reserved(story: Story, *, leave: bool = False) -> list[NodeRef]:
    """Remove all nodes that this operation reserved, known to the workflow or not, and return them."""
    nodes: list[NodeRef] = await story.run(RecordActivities.operation_nodes, RECORD)
    await remove_nodes(story, nodes, leave=leave)
    return nodes


async def _removed(story: Story, node: NodeRef, *, leave: bool) -> bool:
    try:
        if leave:
            await _left(story, node)
        await story.run(NodeActivities.remove_node, REMOVE, on_node(story, node))
    except BaseException as error:
        if not is_foreseen(error):
            raise
        workflow.logger.warning("a node could not be removed", exc_info=error)
        return False
    return True


async def _left(story: Story, node: NodeRef) -> None:
    """Take the node out of the cluster; a manager that does not answer must not keep the container alive."""
    try:
        await story.run(MembershipActivities.leave_node, MEMBERSHIP, on_node(story, node))
    except BaseException as error:
        if not is_foreseen(error):
            raise
        workflow.logger.warning("a node could not leave its cluster", exc_info=error)


def several(story: Story, node_ids: list[str]) -> NodesStep:
    """Return the story's step, on several nodes at once."""
    return NodesStep(story.step.operation_id, story.step.cluster_id, node_ids=node_ids)
