"""HealCluster: starts the nodes of a cluster that have stopped, and sees them back in it."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.fabric import FabricActivities
    from activities.inputs import HostsStep, NodesStep, Step
    from activities.maintenance import MaintenanceActivities
    from activities.membership import MembershipActivities
    from workflows.names import HEAL_CLUSTER, PROGRESS_QUERY, HealClusterInput
    from workflows.node_steps import start_nodes
    from workflows.policies import INSPECT, NETWORK, REJOIN, START
    from workflows.story import Story


@workflow.defn(name=HEAL_CLUSTER)
class HealCluster:
    """Mends a cluster that nobody asked to change. What it can't mend it leaves as it is: there is nothing to undo."""

    @workflow.init
    def __init__(self, change: HealClusterInput) -> None:
        self._change = change
        self._story = Story(change.operation_id, change.cluster_id)

    @workflow.run
    async def run(self, change: HealClusterInput) -> None:
        """Run the operation."""
        del change
        await self._story.tell(self._steps)

    @workflow.query(name=PROGRESS_QUERY)
    def progress(self) -> list[dict[str, str | None]]:
        """Return where each step is."""
        return self._story.progress()

    async def _steps(self) -> None:
        story = self._story
        nodes: list[Step] = await story.run(MaintenanceActivities.stopped_members, INSPECT)
        await story.run(
            FabricActivities.settle_segment, NETWORK, HostsStep(story.step.operation_id, story.step.cluster_id)
        )
        await start_nodes(story, nodes, START)
        started = [step.node.id for step in nodes if step.node is not None]
        back = NodesStep(self._change.operation_id, self._change.cluster_id, node_ids=started)
        await story.run(MembershipActivities.await_members, REJOIN, back)
