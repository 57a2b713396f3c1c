"""Steps about clusters' segments: the networks that join their nodes, on one host or on many."""

import asyncio
from collections.abc import Sequence

from temporalio import activity

from activities.hosts_at_once import Part, converge, on_all, on_hosts
from activities.inputs import HostsStep, HostStep, Step
from activities.patience import with_host
from activities.ports import Fabric
from activities.record_ports import Records
from domain.clusters import Capability
from domain.errors import HostNotReady, NoAddressLeft, SegmentBroken
from domain.facts import NodeFacts
from domain.hosts import Host, HostState
from domain.nodes import Neighbour, NodeState, Segment

FABRIC = "fabric"
"""The name of the capability that tells whether a cluster's network joins its hosts."""

_Joined = tuple[Neighbour, ...] | None
"""The nodes on other hosts that a host's segment is to lead to; None where there is to be no segment."""


class FabricActivities:
    """Brings clusters' segments to what the rows say, and proves them. Hosts being removed are nobody's to change."""

    def __init__(self, records: Records, fabric: Fabric) -> None:
        self._records = records
        self._fabric = fabric

    @activity.defn
    async def ensure_segment(self, step: Step) -> None:
        """Ensure that the cluster's segment is there and joined, on all of its hosts at once.

        Retried: a host that does not answer, or that has no address for others to reach it at.
        """
        segment = await self._segment(step)
        if segment is None:
            raise NoAddressLeft(f"The cluster {step.cluster_id} has no subnet.")
        await self._bring(step.cluster_id, segment, (), all_must_answer=True)

    @activity.defn
    async def settle_segment(self, step: HostsStep) -> None:
        """Ensure that the cluster's hosts know who is left, and that those named which carry none have no segment.

        A host that does not answer is noted and left out: what is on it is for the sweep.
        """
        segment = await self._segment(step)
        if segment is not None:
            await self._bring(step.cluster_id, segment, step.hosts or (), all_must_answer=False)

    @activity.defn
    async def settle_host(self, step: HostStep) -> None:
        """Ensure that the segments of all clusters on the host are there, and lead to who is on other hosts."""
        clusters = await asyncio.to_thread(self._records.clusters_on_host, step.host_id)
        for cluster in clusters:
            if cluster.segment is not None:
                await self._bring(cluster.id, cluster.segment, (), all_must_answer=True, only=step.host_id)

    @activity.defn
    async def remove_segment(self, step: HostsStep) -> None:
        """Ensure that the cluster's segment is gone from the hosts named; from all that there are if none is."""
        segment = await self._segment(step)
        hosts = await asyncio.to_thread(self._hosts, step.hosts)
        if segment is not None:
            await on_hosts(hosts, lambda host: self._fabric.remove_segment(host, segment.bridge))

    @activity.defn
    async def probe_segment(self, step: Step) -> None:
        """Check that packets as large as they may be pass between every two of the cluster's hosts, both ways.

        One node of each host sends to one of every other. What was found out is recorded. A cluster on one host has
        nothing to prove.
        """
        present = await asyncio.to_thread(self._present, step.cluster_id)
        staying = [node for node in present if node.state != NodeState.REMOVING]
        speakers = {node.plan.host.id: node for node in reversed(staying)}
        if len(speakers) < 2:  # noqa: PLR2004 - a pair
            return
        silent = await on_all(list(speakers.values()), lambda node: self._unanswered(node, list(speakers.values())))
        broken = [sentence for sentences in silent for sentence in sentences]
        size = next(iter(speakers.values())).plan.segment.mtu
        detail = "; ".join(broken) or f"{len(speakers)} hosts, packets of {size} bytes, both ways"
        found = Capability(FABRIC, not broken, detail)
        await asyncio.to_thread(self._records.set_capabilities, step.cluster_id, [found])
        if broken:
            raise SegmentBroken(f"{detail}.")

    async def _unanswered(self, sender: NodeFacts, speakers: Sequence[NodeFacts]) -> list[str]:
        names = {node.plan.address: node.plan.host.name for node in speakers if node is not sender}
        size, host = sender.plan.segment.mtu, sender.plan.host.name
        try:
            silent = await self._fabric.probe(sender.plan, list(names))
        except Exception as error:
            raise with_host(error, host) from error
        return [f"{host} does not reach {names[address]} with packets of {size} bytes" for address in silent]

    async def _bring(
        self,
        cluster_id: str,
        segment: Segment,
        named: Sequence[str],
        *,
        all_must_answer: bool,
        only: str | None = None,
    ) -> None:
        """Bring the segment to the cluster's hosts, or `only` to one of them, and take it off others that are named."""

        def read() -> list[Part[_Joined]]:
            nodes = self._present(cluster_id)
            members = {node.plan.host.id: node.plan.host for node in nodes}
            gone = [host for host in self._hosts(named) if host.id not in members] if named else []
            return [
                *(Part[_Joined](host, None) for host in gone),
                *(
                    Part[_Joined](host, _neighbours(host, nodes))
                    for host in members.values()
                    if only in {None, host.id}
                ),
            ]

        async def work(part: Part[_Joined]) -> None:
            if part.wanted is None:
                await self._fabric.remove_segment(part.host, segment.bridge)
            else:
                await self._fabric.ensure_segment(part.host, segment, part.wanted)

        await converge(read, work, all_must_answer=all_must_answer)

    async def _segment(self, step: Step) -> Segment | None:
        return (await asyncio.to_thread(self._records.cluster, step.cluster_id)).segment

    def _present(self, cluster_id: str) -> list[NodeFacts]:
        """Return the cluster's nodes by index, but for leftovers and those on hosts that are being removed."""
        nodes = self._records.nodes(cluster_id)
        return [node for node in nodes if node.state != NodeState.LEFTOVER and _is_kept(node.plan.host)]

    def _hosts(self, names: Sequence[str] | None) -> list[Host]:
        return [host for host in self._records.hosts() if _is_kept(host) and (names is None or host.name in names)]


def _is_kept(host: Host) -> bool:
    return host.state is not HostState.REMOVING and host.claim is not None


def _neighbours(host: Host, nodes: Sequence[NodeFacts]) -> tuple[Neighbour, ...]:
    """Return the nodes that are on other hosts; raise `HostNotReady` if one of those can't be reached by others."""
    elsewhere = [node for node in nodes if node.plan.host.id != host.id]
    lost = sorted({node.plan.host.name for node in elsewhere if not node.plan.host.fabric_address})
    if lost:
        raise HostNotReady(
            f"No address is known at which other hosts reach {' and '.join(lost)}.",
            remedy="Set the host's fabric address to an IPv4 address of it that the other hosts reach.",
        )
    return tuple(Neighbour(node.plan.address, node.plan.host.fabric_address) for node in elsewhere)
