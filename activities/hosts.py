"""Steps about the machines that carry nodes."""

import asyncio
from dataclasses import replace

from temporalio import activity

from activities.inputs import HostStep
from activities.ports import Hosts, Images, Records
from domain.clusters import SWARM
from domain.errors import HostNotReady
from domain.hosts import HostState


class HostActivities:
    """Measures a host, prepares it, and opens it for nodes."""

    def __init__(self, records: Records, hosts: Hosts, images: Images) -> None:
        self._records = records
        self._hosts = hosts
        self._images = images

    @activity.defn
    async def ensure_host(self, step: HostStep) -> None:
        """Ensure packages, kernel settings, the instance's claim and its storage pool.

        Until all of its preparation is done, the host takes no new nodes: after a reboot it looks ready and is not.
        """
        host = await asyncio.to_thread(self._records.host, step.host_id)
        await asyncio.to_thread(self._records.record_host, replace(host, state=HostState.PREPARING), None)
        claim = await self._hosts.ensure_prepared(host)
        host = await asyncio.to_thread(self._records.host, step.host_id)
        await asyncio.to_thread(self._records.record_host, replace(host, claim=claim), None)

    @activity.defn
    async def measure_host(self, step: HostStep) -> None:
        """Measure what the host can do, and keep the report. Final: something required is missing."""
        host = await asyncio.to_thread(self._records.host, step.host_id)
        report = await self._hosts.measure(host)
        host = await asyncio.to_thread(self._records.host, step.host_id)
        host = replace(host, mtu=report.mtu, capabilities=report.capabilities)
        await asyncio.to_thread(self._records.record_host, host, report)
        if not report.fit:
            missing = "; ".join(f"{check.name}: {check.detail}" for check in report.missing)
            raise HostNotReady(f"{host.name} can't carry nodes. {missing}")

    @activity.defn
    async def ensure_image(self, step: HostStep) -> str:
        """Ensure that the image of Swarm nodes, and the base that all share, is on the host; return its digest."""
        host = await asyncio.to_thread(self._records.host, step.host_id)
        return await self._images.ensure(host, SWARM)

    @activity.defn
    def ready_host(self, step: HostStep, image: str) -> None:
        """Open the host for new nodes, made from the image with that digest."""
        host = self._records.host(step.host_id)
        self._records.record_host(replace(host, image=image, state=HostState.READY), None)

    @activity.defn
    def host_clusters(self, step: HostStep) -> list[str]:
        """Return the ids of the clusters that have nodes on the host."""
        return [cluster.id for cluster in self._records.clusters_on_host(step.host_id)]
