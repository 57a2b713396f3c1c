"""Steps on clusters' networks that several workflows share."""

from collections.abc import Collection, Iterable, Sequence

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.fabric import FabricActivities
    from activities.inputs import HostsStep
    from activities.publications import PublicationActivities
    from domain.nodes import NodeRef
    from workflows.policies import NETWORK, REMOVE, SETTLE
    from workflows.story import Story
    from workflows.undo import each, in_parallel, raise_if_cancelled


async def join_hosts(story: Story) -> None:
    """Bring the cluster's segment, and the ports that lead to its nodes, to all of its hosts: they have to answer."""
    await in_parallel(
        story.run(FabricActivities.ensure_segment, NETWORK),
        story.run(PublicationActivities.ensure_publications, NETWORK),
    )


async def settle(story: Story, nodes: Iterable[NodeRef]) -> None:
    """Bring networks in line after `nodes` have gone, as far as hosts answer. What fails here is left to the sweep."""
    step = on_hosts_of(story, nodes)
    failures = await each(
        story.run(FabricActivities.settle_segment, SETTLE, step),
        story.run(PublicationActivities.settle_publications, SETTLE, step),
    )
    for failure in failures:
        workflow.logger.warning("networks on hosts are left as they are", exc_info=failure)
    raise_if_cancelled()


async def remove_network(story: Story, nodes: Sequence[NodeRef], left: Collection[str] = ()) -> None:
    """Remove the cluster's network from the hosts of `nodes`, which have gone; from everywhere if there are none.

    Where nodes could not be removed (`left` are the ids of those), it is left to the sweep as well.
    """
    silent = {node.host for node in nodes if node.id in left}
    step = on_hosts_of(story, [node for node in nodes if node.host not in silent])
    whole = HostsStep(step.operation_id, step.cluster_id, hosts=step.hosts if nodes else None)
    failures = await each(
        story.run(FabricActivities.remove_segment, REMOVE, whole),
        story.run(PublicationActivities.settle_publications, SETTLE, step),
    )
    if failures:
        raise failures[0]


def on_hosts_of(story: Story, nodes: Iterable[NodeRef]) -> HostsStep:
    """Return the story's step, on the hosts of `nodes`."""
    return HostsStep(story.step.operation_id, story.step.cluster_id, hosts=sorted({node.host for node in nodes}))
