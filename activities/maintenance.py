"""Steps that compare what is on the hosts with what is in the records."""

import asyncio
from collections.abc import Sequence

from temporalio import activity

from activities.hosts_at_once import Part, on_all, on_those_that_answer
from activities.inputs import HostStep, InspectStep, Orphan, OrphanStep, Step
from activities.notes import note
from activities.ports import Fabric, Nodes
from activities.record_ports import Records
from domain.errors import HostNotReady
from domain.facts import NodeFacts
from domain.hosts import Host, HostState
from domain.nodes import FoundNode, FoundSegment, NodeState

UNKNOWN_CLUSTER = "unknown"

_BROKEN = {HostState.ERROR: "in error", HostState.REMOVING: "being removed"}
"""On such hosts nothing is started, and nobody need wait for them."""


class MaintenanceActivities:
    """Finds nodes that have stopped, and orphans, and removes those."""

    def __init__(self, records: Records, nodes: Nodes, fabric: Fabric) -> None:
        self._records = records
        self._nodes = nodes
        self._fabric = fabric

    @activity.defn
    def list_hosts(self) -> list[HostStep]:
        """Return the hosts that are ready."""
        return [HostStep("", host.id, host.name) for host in self._records.hosts() if host.state is HostState.READY]

    @activity.defn
    async def stopped_nodes(self, step: HostStep) -> list[Step]:
        """Return the members on the host whose containers don't run: each as a step on it.

        Nodes that are being made or removed are the business of the operation that does so.
        """
        host = await asyncio.to_thread(self._records.host, step.host_id)
        stopped = [node for node in await self._nodes.found(host) if not node.running]
        return [
            Step(step.operation_id, node.stamp.cluster_id, row.ref)
            for node, row in await self._with_rows(stopped)
            if row is not None and row.state == NodeState.ACTIVE
        ]

    @activity.defn
    async def stopped_members(self, step: Step) -> list[Step]:
        """Return the cluster's nodes that have a container which does not run: each as a step on it.

        Retried: a host that is being prepared, which starts its nodes by itself once it is ready for them. One that
        does not answer is noted and left out, and so is one that was not prepared to the end.
        """
        active, ready = await asyncio.to_thread(self._active_on_ready_hosts, step.cluster_id)
        hosts = {node.plan.host.id: node.plan.host for node in active}
        broken = {host.id: host.name for host in hosts.values() if host.state in _BROKEN}
        absent = {host.name for host in hosts.values() if host.id not in ready | broken.keys()}
        if absent:
            raise HostNotReady(f"Nodes can't be started before their hosts are prepared: {', '.join(sorted(absent))}.")
        for host_id, name in broken.items():
            note(f"{name} was left out, because it is {_BROKEN[hosts.pop(host_id).state]}.")
        parts = [Part(host, None) for host in hosts.values()]
        looks = await on_those_that_answer(parts, lambda part: self._nodes.found(part.host))
        stopped = {found.container for _, look in looks for found in look if not found.running}
        return [Step(step.operation_id, step.cluster_id, node.ref) for node in active if node.plan.container in stopped]

    @activity.defn
    async def clear_host(self, step: HostStep) -> None:
        """Ensure that a host which never was ready carries nothing of clusters.

        It may have been removed while it was away, and have brought back what it carried then. What has a row stays.
        """
        host = await asyncio.to_thread(self._records.host, step.host_id)
        if host.image:
            return
        found = await self._nodes.found(host)
        strangers = [node.container for node, row in await self._with_rows(found) if row is None]
        await on_all(strangers, lambda container: self._nodes.remove(host, container))
        owned = await asyncio.to_thread(self._bridges_of, host)
        for segment in await self._fabric.found(host):
            if segment.bridge not in owned:
                await self._fabric.remove_segment(host, segment.bridge)
        await self._fabric.ensure_publications(host, ())
        if strangers:
            note(f"Removed what it carried when it was removed itself: {', '.join(sorted(strangers))}.")

    @activity.defn
    async def inspect_host(self, step: InspectStep) -> list[Orphan]:
        """Return what on the host carries our stamp and has had no row for the grace period."""
        host = await asyncio.to_thread(self._records.host, step.host_id)
        found = await self._nodes.found(host)
        bridges = await self._fabric.found(host)
        return await asyncio.to_thread(self._compare, host, found, bridges, step.grace_s)

    @activity.defn
    async def remove_orphan(self, step: OrphanStep) -> None:
        """Ensure that an orphan is gone, unless a row has come to claim it, and free what it still held."""
        orphan = step.orphan
        if orphan is None:
            return
        host = await asyncio.to_thread(self._records.host, step.host_id)
        if orphan.container is not None:
            node = await asyncio.to_thread(self._row_of, orphan.cluster_id, orphan.container)
            if node is not None and node.state != NodeState.LEFTOVER:
                return
            await self._nodes.remove(host, orphan.container)
            if node is not None:
                await asyncio.to_thread(self._records.release_nodes, orphan.cluster_id, [node.ref.id])
        if orphan.bridge is not None and orphan.bridge not in await asyncio.to_thread(self._bridges_of, host):
            await self._fabric.remove_segment(host, orphan.bridge)

    def _compare(
        self, host: Host, found: Sequence[FoundNode], bridges: Sequence[FoundSegment], grace_s: int
    ) -> list[Orphan]:
        clusters = self._records.clusters_on_host(host.id)
        recorded: set[str] = set()
        for cluster in clusters:
            rows = [node for node in self._records.nodes(cluster.id) if node.plan.host.id == host.id]
            recorded.update(node.plan.container for node in rows if node.state != NodeState.LEFTOVER)
        owned = self._bridges_of(host)
        orphans = {
            node.container: Orphan(node.stamp.cluster_id, container=node.container)
            for node in found
            if node.container not in recorded
        } | {
            segment.bridge: Orphan(segment.cluster_id or UNKNOWN_CLUSTER, bridge=segment.bridge)
            for segment in bridges
            if segment.bridge not in owned
        }
        self._records.forget_orphans_except(host.id, list(orphans))
        there = {node.container for node in found}
        for left in self._records.leftovers(host.id):
            if left.container not in there:  # it went, but whoever removed it did not live to say so
                self._records.release_nodes(left.cluster_id, [left.node_id])
        return [orphan for name, orphan in orphans.items() if self._records.orphan_age_s(host.id, name) >= grace_s]

    def _bridges_of(self, host: Host) -> set[str]:
        """Return the bridges of the clusters that have nodes on the host: one may be another cluster's by now."""
        clusters = self._records.clusters_on_host(host.id)
        return {cluster.segment.bridge for cluster in clusters if cluster.segment}

    def _active_on_ready_hosts(self, cluster_id: str) -> tuple[list[NodeFacts], set[str]]:
        """Return the cluster's active nodes, manager first, and the ids of the hosts whose containers count."""
        active = [node for node in self._records.nodes(cluster_id) if node.state == NodeState.ACTIVE]
        return active, {host.id for host in self._records.watched_hosts()}

    async def _with_rows(self, found: Sequence[FoundNode]) -> list[tuple[FoundNode, NodeFacts | None]]:
        """Return each container with the row that it has, if it has one."""
        rows = await asyncio.gather(
            *(asyncio.to_thread(self._row_of, node.stamp.cluster_id, node.container) for node in found)
        )
        return list(zip(found, rows, strict=True))

    def _row_of(self, cluster_id: str, container: str) -> NodeFacts | None:
        rows = self._records.nodes(cluster_id)
        return next((node for node in rows if node.plan.container == container), None)
