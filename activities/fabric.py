"""Steps about clusters' networks on hosts."""

import asyncio

from temporalio import activity

from activities.inputs import Step
from activities.ports import Fabric, Records
from domain.errors import NoAddressLeft
from domain.hosts import Host
from domain.nodes import Segment


class FabricActivities:
    """Makes and removes the bridge of a cluster on each host that carries its nodes."""

    def __init__(self, records: Records, fabric: Fabric) -> None:
        self._records = records
        self._fabric = fabric

    @activity.defn
    async def ensure_segment(self, step: Step) -> None:
        """Ensure that the cluster's bridge and its rules are there, on all of its hosts at once."""
        segment, hosts = await asyncio.to_thread(self._where, step.cluster_id)
        if segment is None:
            raise NoAddressLeft(f"The cluster {step.cluster_id} has no subnet.")
        await asyncio.gather(*(self._fabric.ensure_segment(host, segment) for host in hosts))

    @activity.defn
    async def remove_segment(self, step: Step) -> None:
        """Ensure that the cluster's bridge and its rules are gone from every host that could have them."""
        segment, hosts = await asyncio.to_thread(self._everywhere, step.cluster_id)
        if segment is not None:
            await asyncio.gather(*(self._fabric.remove_segment(host, segment.bridge) for host in hosts))

    def _where(self, cluster_id: str) -> tuple[Segment | None, list[Host]]:
        hosts = {node.plan.host.id: node.plan.host for node in self._records.nodes(cluster_id)}
        return self._records.cluster(cluster_id).segment, list(hosts.values())

    def _everywhere(self, cluster_id: str) -> tuple[Segment | None, list[Host]]:
        return self._records.cluster(cluster_id).segment, list(self._records.hosts())
