"""CreateCluster as a careless change would leave it: what it did second, it now does first."""

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.membership import MembershipActivities
    from activities.nodes import NodeActivities
    from domain.nodes import NodeRef
    from workflows.create_cluster import CreateCluster
    from workflows.names import CREATE_CLUSTER, CreateClusterInput
    from workflows.node_steps import on_node
    from workflows.policies import MEMBERSHIP, NODE


@workflow.defn(name=CREATE_CLUSTER)
class ReorderedCreateCluster(CreateCluster):
    @workflow.init
    def __init__(self, change: CreateClusterInput) -> None:
        super().__init__(change)

    @workflow.run
    async def run(self, change: CreateClusterInput) -> None:
        await super().run(change)

    async def _form(self, manager: NodeRef, formed: asyncio.Event) -> None:
        await self._story.run(MembershipActivities.form_cluster, MEMBERSHIP, on_node(self._story, manager))
        await self._story.run(NodeActivities.ensure_node, NODE, on_node(self._story, manager))
        formed.set()
