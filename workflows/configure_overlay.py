"""ConfigureOverlay: makes, proves and removes a cluster's overlay network. Alone, or as a part of a create.

What joins the cluster's hosts is proved first: an overlay network can't be better than what is below it.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.fabric import FabricActivities
    from activities.inputs import OverlayStep
    from activities.overlay import OverlayActivities
    from workflows.names import CONFIGURE_OVERLAY, PROGRESS_QUERY, ConfigureOverlayInput
    from workflows.policies import OVERLAY, PROBE, VERIFY
    from workflows.story import Story


@workflow.defn(name=CONFIGURE_OVERLAY)
class ConfigureOverlay:
    """Brings an overlay network to what its row says, and proves it from inside the nodes."""

    @workflow.init
    def __init__(self, change: ConfigureOverlayInput) -> None:
        self._change = change
        self._story = Story(change.operation_id, change.cluster_id)
        self._step = OverlayStep(change.operation_id, change.cluster_id, overlay=change.overlay)

    @workflow.run
    async def run(self, change: ConfigureOverlayInput) -> None:
        """Run the operation, or, as a part of another, just the steps: the other one undoes and records."""
        if change.part_of_change:
            await self._make()
        elif change.remove:
            await self._story.tell(self._remove)
        else:
            await self._story.tell(self._make)

    @workflow.query(name=PROGRESS_QUERY)
    def progress(self) -> list[dict[str, str | None]]:
        """Return where each step is."""
        return self._story.progress()

    async def _make(self) -> None:
        if self._change.spans_hosts:
            await self._story.run(FabricActivities.probe_segment, PROBE)
        self._story.undo.push(self._remove)
        await self._story.run(OverlayActivities.ensure_overlay, OVERLAY, self._step)
        await self._story.run(OverlayActivities.verify_overlay, VERIFY, self._step)

    async def _remove(self) -> None:
        await self._story.run(OverlayActivities.remove_overlay, OVERLAY, self._step)
