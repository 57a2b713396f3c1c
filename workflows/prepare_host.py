"""PrepareHost: makes a machine ready to carry nodes, and brings back those that it carried before."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.fabric import FabricActivities
    from activities.hosts import HostActivities
    from activities.inputs import HostsStep, HostStep, NodesStep, Step
    from activities.maintenance import MaintenanceActivities
    from activities.membership import MembershipActivities
    from activities.publications import PublicationActivities
    from workflows.names import PREPARE_HOST, PROGRESS_QUERY, PrepareHostInput
    from workflows.node_steps import start_nodes
    from workflows.policies import GUARD, HOST, IMAGE, INSPECT, NETWORK, RECORD, REJOIN
    from workflows.story import Story
    from workflows.undo import each, in_parallel


@workflow.defn(name=PREPARE_HOST)
class PrepareHost:
    """Prepares a host; run again, it changes nothing but what has gone missing since."""

    @workflow.init
    def __init__(self, change: PrepareHostInput) -> None:
        self._host = HostStep(change.operation_id, change.host_id, change.host_name)
        self._story = Story(change.operation_id)

    @workflow.run
    async def run(self, change: PrepareHostInput) -> None:
        """Run the operation."""
        del change
        await self._story.tell(self._steps)

    @workflow.query(name=PROGRESS_QUERY)
    def progress(self) -> list[dict[str, str | None]]:
        """Return where each step is."""
        return self._story.progress()

    async def _steps(self) -> None:
        story = self._story
        await story.run(HostActivities.ensure_host, HOST, self._host)
        _, image = await in_parallel(self._measure(), story.run(HostActivities.ensure_image, IMAGE, self._host))
        await story.run(HostActivities.ready_host, RECORD, self._host, image)
        await self._restore()

    async def _measure(self) -> None:
        """Measure the host, for which it has to have the packages; then keep nodes from hosts, at the address found.

        What a host that is new here carries goes as soon as it is known that it is no other host's.
        """
        await self._story.run(HostActivities.measure_host, HOST, self._host)
        await self._story.run(MaintenanceActivities.clear_host, INSPECT, self._host)
        await self._story.run(HostActivities.guard_hosts, GUARD, self._host)

    async def _restore(self) -> None:
        """Bring published ports and the clusters' networks back, then start the nodes that have stopped.

        A node that does not start keeps no other from starting; the first such failure is the operation's.
        """
        story = self._story
        clusters: list[str] = await story.run(HostActivities.host_clusters, RECORD, self._host)
        steps = [HostsStep(self._host.operation_id, cluster_id) for cluster_id in clusters]
        failures = await each(
            *(story.run(FabricActivities.settle_segment, NETWORK, step) for step in steps),
            story.run(PublicationActivities.host_publications, NETWORK, self._host),
        )
        nodes: list[Step] = await story.run(MaintenanceActivities.stopped_nodes, INSPECT, self._host)
        touched = {node.cluster_id for node in nodes}
        failures += await each(
            *(
                self._bring_back(cluster_id, [node for node in nodes if node.cluster_id == cluster_id])
                for cluster_id in clusters
                if cluster_id in touched
            )
        )
        if failures:
            raise failures[0]

    async def _bring_back(self, cluster_id: str, nodes: list[Step]) -> None:
        """Start a cluster's nodes, and wait until they have found the others."""
        await start_nodes(self._story, nodes)
        started = [step.node.id for step in nodes if step.node is not None]
        back = NodesStep(self._host.operation_id, cluster_id, node_ids=started)
        await self._story.run(MembershipActivities.await_members, REJOIN, back)
