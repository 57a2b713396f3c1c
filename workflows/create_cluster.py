"""CreateCluster: from an accepted request to a cluster whose nodes were proved to reach each other."""

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.credentials import CredentialActivities
    from activities.fabric import FabricActivities
    from activities.images import ImageActivities
    from activities.inputs import CountStep
    from activities.membership import MembershipActivities
    from activities.nodes import NodeActivities
    from activities.records import RecordActivities
    from domain.nodes import NodeRef
    from workflows.configure_overlay import ConfigureOverlay
    from workflows.fabric_steps import join_hosts, remove_network
    from workflows.names import CREATE_CLUSTER, PROGRESS_QUERY, ConfigureOverlayInput, CreateClusterInput
    from workflows.node_steps import on_node, remove_reserved
    from workflows.policies import IMAGE, KEYS, MEMBERSHIP, NODE, PROBE, RECORD, RESERVE
    from workflows.story import Story
    from workflows.undo import in_parallel


@workflow.defn(name=CREATE_CLUSTER)
class CreateCluster:
    """Makes a cluster, or undoes what it made and says why."""

    @workflow.init
    def __init__(self, change: CreateClusterInput) -> None:
        self._change = change
        self._story = Story(change.operation_id, change.cluster_id)

    @workflow.run
    async def run(self, change: CreateClusterInput) -> None:
        """Run the operation."""
        await self._story.tell(self._steps, retain=change.retain)

    @workflow.query(name=PROGRESS_QUERY)
    def progress(self) -> list[dict[str, str | None]]:
        """Return where each step is."""
        return self._story.progress()

    async def _steps(self) -> None:
        story = self._story
        story.undo.push(lambda: remove_reserved(story))
        reserve = CountStep(story.step.operation_id, story.step.cluster_id, count=self._change.node_count)
        nodes: list[NodeRef] = await story.run(RecordActivities.reserve_nodes, RESERVE, reserve)
        manager, *workers = nodes

        story.undo.push(lambda: remove_network(story, nodes))
        story.undo.push(lambda: story.run(CredentialActivities.discard_secrets, RECORD))
        await in_parallel(
            story.run(CredentialActivities.ensure_authority, KEYS),
            join_hosts(story),
            story.run(ImageActivities.ensure_images, IMAGE),
        )

        story.undo.push(lambda: remove_reserved(story))
        formed = asyncio.Event()
        await in_parallel(
            self._form(manager, formed),
            *(self._join(worker, formed) for worker in workers),
        )
        spans_hosts = len({node.host for node in nodes}) > 1
        if self._change.overlay:
            await self._overlay(spans_hosts=spans_hosts)
        elif spans_hosts:
            await story.run(FabricActivities.probe_segment, PROBE)

    async def _form(self, manager: NodeRef, formed: asyncio.Event) -> None:
        await self._story.run(NodeActivities.ensure_node, NODE, on_node(self._story, manager))
        await self._story.run(MembershipActivities.form_cluster, MEMBERSHIP, on_node(self._story, manager))
        formed.set()

    async def _join(self, worker: NodeRef, formed: asyncio.Event) -> None:
        await self._story.run(NodeActivities.ensure_node, NODE, on_node(self._story, worker))
        await formed.wait()
        await self._story.run(MembershipActivities.join_node, MEMBERSHIP, on_node(self._story, worker))

    async def _overlay(self, *, spans_hosts: bool) -> None:
        """Make and prove the cluster's own overlay network, as a workflow of its own."""
        change = self._change
        overlay = ConfigureOverlayInput(
            change.operation_id,
            change.cluster_id,
            change.cluster_name,
            change.tenant_id,
            overlay=change.overlay,
            part_of_change=True,
            spans_hosts=spans_hosts,
        )
        info = workflow.info()
        with self._story.shown("configure_overlay", "Make and check the overlay network"):
            await workflow.execute_child_workflow(
                ConfigureOverlay.run,
                overlay,
                id=f"{info.workflow_id}-overlay",
                cancellation_type=workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
                search_attributes=info.typed_search_attributes,
                static_summary=f"Overlay network {change.overlay} of {change.cluster_name}",
            )
