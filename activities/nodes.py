"""Steps about nodes' containers."""

import asyncio
from collections.abc import Mapping

from temporalio import activity

from activities.inputs import Step
from activities.ports import Nodes, Orchestrator
from activities.record_ports import Records
from activities.secrets import ClusterSecrets
from domain.errors import NotFound
from domain.nodes import NodeFile, NodePlan, NodeRef


class NodeActivities:
    """Makes and removes the containers that nodes are."""

    def __init__(
        self,
        records: Records,
        secrets: ClusterSecrets,
        nodes: Nodes,
        orchestrators: Mapping[str, Orchestrator],
    ) -> None:
        self._records = records
        self._secrets = secrets
        self._nodes = nodes
        self._orchestrators = orchestrators

    @activity.defn
    async def ensure_node(self, step: Step) -> None:
        """Ensure that the node is there, runs, and its container engine serves.

        Its certificates are issued here and go straight into the node. Final: no image, a full disk, an
        engine that never answers. Retried: all else.
        """
        plan, files = await asyncio.to_thread(self._planned, step.cluster_id, _node_of(step))
        await self._nodes.ensure(plan, files)

    @activity.defn
    async def remove_node(self, step: Step) -> None:
        """Ensure that the node's container and its disk are gone. A node without a row has gone before."""
        try:
            facts = await asyncio.to_thread(self._records.node, _node_of(step).id)
        except NotFound:
            return
        await self._nodes.remove(facts.plan.host, facts.plan.container)

    def _planned(self, cluster_id: str, node: NodeRef) -> tuple[NodePlan, list[NodeFile]]:
        cluster = self._records.cluster(cluster_id)
        plan = self._records.node(node.id).plan
        manager = self._records.nodes(cluster_id)[0].member
        keys = self._secrets.keys(cluster_id)
        return plan, list(self._orchestrators[cluster.coe].node_files(cluster, plan, manager, keys))


def _node_of(step: Step) -> NodeRef:
    if step.node is None:
        message = "this step needs a node"
        raise ValueError(message)
    return step.node
