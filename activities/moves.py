"""Steps that take nodes off a host, and a host out of the fleet."""

import asyncio
import time
from collections.abc import Sequence

from temporalio import activity

from activities.hosts_at_once import on_all
from activities.inputs import HostStep, MoveStep, Step
from activities.notes import note
from activities.ports import Hosts, Nodes
from activities.record_ports import Records
from domain.errors import HostInUse, NotFound, PoolNotMounted
from domain.facts import Leftover
from domain.hosts import Host, twins
from domain.nodes import FoundNode, NodeRef, NodeState

POLL_S = 0.5
"""How often it is looked whether moves have ended. They take seconds at least."""

WAIT_S = 2.5 * 3600
"""How long changes to clusters are waited for. Each has steps with bounds of their own, minutes in all."""

_QUIET_LOOKS = 2
"""A cluster may become idle between the look that finds it busy, and the one that finds nobody so: it gets a turn."""
_LATER = "Look at the operations of those clusters; then ask for the host again."


class MoveActivities:
    """Has clusters' nodes moved off a host, and lets the host go."""

    def __init__(self, records: Records, nodes: Nodes, hosts: Hosts) -> None:
        self._records = records
        self._nodes = nodes
        self._hosts = hosts

    @activity.defn
    async def move_nodes(self, step: MoveStep) -> None:
        """Return once every cluster with workers on the host has tried to move them: an operation each, all at once.

        A cluster that is being changed gets its turn after that. What a move that failed says is noted.
        """
        deadline = time.monotonic() + WAIT_S
        told: set[str] = set()
        quiet = 0
        while quiet < _QUIET_LOOKS:
            moves = await asyncio.to_thread(self._records.accept_moves, step.operation_id, step.host_id, dead=step.dead)
            awaited = await asyncio.to_thread(self._records.awaited_clusters, step.operation_id, step.host_id)
            ended = [(move, *await asyncio.to_thread(self._records.operation_ended, move)) for move in moves]
            for move, _, error in ended:
                if error is not None and move not in told:
                    note(f"The move {move} failed: {error.detail.rstrip('.')}.")
                    told.add(move)
            if awaited or not all(has_ended for _, has_ended, _ in ended):
                quiet = 0
                if time.monotonic() > deadline:
                    waiting = ", ".join(awaited) or "clusters whose nodes are being moved"
                    raise HostInUse(
                        f"After {WAIT_S / 3600:g} h, these are still being changed: {waiting}.", remedy=_LATER
                    )
                await asyncio.sleep(POLL_S)
            else:
                quiet += 1

    @activity.defn
    def choose_moves(self, step: Step) -> list[NodeRef]:
        """Mark the cluster's workers on the host as removing, and return them; the same ones when called again."""
        return list(self._records.choose_moves(step.operation_id))

    @activity.defn
    def admit_nodes(self, step: Step) -> None:
        """Count the new nodes among the cluster's own: from here on, only the old ones' going can fail."""
        self._records.admit_nodes(step.operation_id)

    @activity.defn
    async def remove_leftovers(self, step: HostStep) -> None:
        """Ensure that nothing is left on the host of nodes that could not be removed before."""
        host = await asyncio.to_thread(self._records.host, step.host_id)

        async def remove(left: Leftover) -> None:
            await self._nodes.remove(host, left.container)
            await asyncio.to_thread(self._records.release_nodes, left.cluster_id, [left.node_id])

        await on_all(await asyncio.to_thread(self._records.leftovers, step.host_id), remove)

    @activity.defn
    def check_empty(self, step: HostStep) -> None:
        """Raise `HostInUse`, with a sentence on each node that is still on the host, if there are any."""
        stuck = self._records.stuck_on_host(step.host_id)
        if stuck:
            count = f"{len(stuck)} nodes are" if len(stuck) > 1 else "1 node is"
            raise HostInUse(
                f"{count} still on {step.host}. {' '.join(stuck)}",
                remedy=f"See to each of them as it says, then drain {step.host} again. It stays cordoned.",
            )

    @activity.defn
    async def release_host(self, step: HostStep) -> None:
        """Ensure that nothing of this instance is on the host any more: containers, networks, storage, settings.

        A machine that is another host, too, is left as it is.
        """
        host = await asyncio.to_thread(self._records.host, step.host_id)
        others = twins(host, await asyncio.to_thread(self._records.hosts))
        if others:
            note(f"The machine is left as it is, because it is the host {others[0].name} too.")
            return
        try:
            found = await self._nodes.found(host)
        except PoolNotMounted:
            found = ()  # none of them runs, and they go with the pool
        if elsewhere := await asyncio.to_thread(self._on_other_hosts, host, found):
            note(f"The machine is left as it is, because it carries nodes of the host {elsewhere[0]}: it is that too.")
            return
        await on_all(found, lambda node: self._nodes.remove(host, node.container))
        await self._hosts.release(host, purge=True)

    @activity.defn
    def forget_host(self, step: HostStep) -> list[str]:
        """Drop the host's row, and what is reserved on it; return the ids of the clusters that had nodes there."""
        try:
            return list(self._records.forget_host(step.host_id))
        except NotFound:
            return []

    def _on_other_hosts(self, host: Host, found: Sequence[FoundNode]) -> Sequence[str]:
        """Return the names of other hosts on which containers found on `host` are recorded to be."""
        recorded = {
            (node.plan.container, node.ref.host)
            for cluster_id in {each.stamp.cluster_id for each in found}
            for node in self._records.nodes(cluster_id)
            if node.state != NodeState.LEFTOVER
        }
        there = {each.container for each in found}
        return sorted({name for container, name in recorded if container in there and name != host.name})
