"""Steps about the machines that carry nodes."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from temporalio import activity

from activities.guards import Guards
from activities.inputs import HostStep
from activities.notes import note
from activities.ports import Fabric, Hosts, Images
from activities.record_ports import Records
from domain.clusters import SWARM
from domain.errors import HostNotReady
from domain.hosts import Host, HostState, twins


class HostActivities:
    """Measures a host, prepares it, guards it and opens it for nodes.

    `management_networks` (CIDR) are networks that nodes have no business in, on any host.
    """

    def __init__(
        self,
        records: Records,
        hosts: Hosts,
        images: Images,
        fabric: Fabric,
        management_networks: Sequence[str] = (),
    ) -> None:
        self._records = records
        self._hosts = hosts
        self._images = images
        self._guards = Guards(records, fabric, management_networks)

    @activity.defn
    async def ensure_host(self, step: HostStep) -> None:
        """Ensure packages, kernel settings, the instance's claim and its storage pool.

        Until all of its preparation is done, the host takes no new nodes: after a reboot it looks ready and is not.
        All hosts claim one network for nodes. Final: one that can't have that.
        """
        host = await asyncio.to_thread(self._records.host, step.host_id)
        await asyncio.to_thread(self._records.record_host, replace(host, state=HostState.PREPARING), None)
        network = await asyncio.to_thread(self._network_of_others, host)
        changes: list[str] = []
        claim = await self._hosts.ensure_prepared(host, network, tell=changes.append)
        note(f"Had to {'; '.join(changes)}." if changes else "Nothing had to be changed.")
        network = await asyncio.to_thread(self._network_of_others, host)
        if network is not None and claim.network != network:
            raise HostNotReady(
                f"{host.name} has claimed {claim.network} for nodes, but the other hosts have {network}: "
                "no cluster could span them.",
                remedy=f"Remove {host.name} from Carina, free {network} on it, and add it again.",
            )
        host = await asyncio.to_thread(self._records.host, step.host_id)
        await asyncio.to_thread(self._records.record_host, replace(host, claim=claim), None)

    @activity.defn
    async def measure_host(self, step: HostStep) -> None:
        """Measure what the host can do, and keep the report. Final: something required is missing.

        Final, too: the machine is a host by another name already. Where the operator did not say at which address
        other hosts reach it, the one that was found is taken.
        """
        host = await asyncio.to_thread(self._records.host, step.host_id)
        report = await self._hosts.measure(host)
        host = await asyncio.to_thread(self._records.host, step.host_id)
        address = host.fabric_address if host.fabric_address_given else report.address or host.fabric_address
        host = replace(host, mtu=report.mtu, capabilities=report.capabilities, fabric_address=address)
        await asyncio.to_thread(self._records.record_host, host, report)
        if not report.fit:
            missing = "; ".join(f"{check.name}: {check.detail}" for check in report.missing)
            raise HostNotReady(f"{host.name} can't carry nodes. {missing}")
        known = twins(host, await asyncio.to_thread(self._records.hosts))
        first = next((twin for twin in known if twin.id < host.id or twin.state is HostState.READY), None)
        if first is not None:
            raise HostNotReady(
                f"{host.name} has the host key of {first.name}, or its address for other hosts ({address}): "
                "it seems to be the same machine.",
                remedy=f"Remove {host.name}, which leaves {first.name} as it is. If they are two machines, add it "
                "again with a host key and a fabric address of its own.",
            )

    @activity.defn
    async def guard_hosts(self, step: HostStep) -> None:
        """Ensure that nodes open no connections to hosts other than their own, nor to what manages them, on all hosts.

        The host that the step is about has to do it, if it is still there. Of the others it is noted which don't.
        """
        left_out = await self._guards.ensure()
        for host, error in sorted(left_out, key=lambda pair: pair[0].id == step.host_id):  # its own last, to note all
            if host.id == step.host_id:
                raise error
            note(f"{host.name} was left out: {error.detail}")
            activity.logger.warning("nodes on %s are not guarded as they should be: %s", host.name, error.detail)

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

    def _network_of_others(self, host: Host) -> str | None:
        """Return the network that the other hosts have claimed for nodes, None if there is none yet."""
        claims = [other.claim for other in self._records.hosts() if other.id != host.id]
        return next((claim.network for claim in claims if claim is not None), None)
