"""PublishPorts: lets a port of a cluster's hosts lead to it, or withdraws one."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.inputs import HostsStep
    from activities.publications import PublicationActivities
    from workflows.names import PROGRESS_QUERY, PUBLISH_PORTS, PublishPortsInput
    from workflows.policies import NETWORK, RECORD, SETTLE
    from workflows.story import Story


@workflow.defn(name=PUBLISH_PORTS)
class PublishPorts:
    """Brings the ports of the cluster's hosts to what the rows say. A port that is being withdrawn counts no more."""

    @workflow.init
    def __init__(self, change: PublishPortsInput) -> None:
        self._change = change
        self._story = Story(change.operation_id, change.cluster_id)

    @workflow.run
    async def run(self, change: PublishPortsInput) -> None:
        """Run the operation."""
        await self._story.tell(self._withdraw if change.withdraw else self._publish)

    @workflow.query(name=PROGRESS_QUERY)
    def progress(self) -> list[dict[str, str | None]]:
        """Return where each step is."""
        return self._story.progress()

    async def _publish(self) -> None:
        self._story.undo.push(self._take_back)
        await self._story.run(PublicationActivities.ensure_publications, NETWORK)

    async def _take_back(self) -> None:
        await self._story.run(PublicationActivities.forget_publication, RECORD)
        await self._withdraw()

    async def _withdraw(self) -> None:
        """Withdraw from the hosts that answer; the others are brought in line when they do again."""
        step = HostsStep(self._change.operation_id, self._change.cluster_id)
        await self._story.run(PublicationActivities.settle_publications, SETTLE, step)
