"""Steps about a cluster's overlay networks."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from temporalio import activity

from activities.inputs import OverlayStep
from activities.ports import Orchestrator
from activities.record_ports import Records
from activities.secrets import ClusterSecrets
from domain.errors import EncryptionUnsupported, NotFound
from domain.hosts import CAP_ESP, Host
from domain.nodes import Member, NodeState
from domain.overlays import Overlay
from domain.secrets import Access

_STAYING = frozenset({NodeState.RESERVED, NodeState.ACTIVE})
"""A node that is being moved away need not reach the others any more, and may be on a host that is dead."""


@dataclass(frozen=True, repr=False)
class _Party:
    orchestrator: Orchestrator
    access: Access
    members: Sequence[Member]
    hosts: Sequence[Host]


class OverlayActivities:
    """Makes, proves and removes overlay networks."""

    def __init__(self, records: Records, secrets: ClusterSecrets, orchestrators: Mapping[str, Orchestrator]) -> None:
        self._records = records
        self._secrets = secrets
        self._orchestrators = orchestrators

    @activity.defn
    async def ensure_overlay(self, step: OverlayStep) -> None:
        """Ensure that the overlay network is there as its row describes it.

        Final: `encrypted` where a host can't, since such a network drops its traffic in silence.
        """
        party, overlay = await asyncio.to_thread(self._described, step)
        unable = [host.name for host in party.hosts if overlay.encrypted and CAP_ESP not in host.capabilities]
        if unable:
            raise EncryptionUnsupported(f"These hosts have no ESP: {', '.join(sorted(set(unable)))}.")
        await party.orchestrator.ensure_overlay(party.members, overlay, party.access)
        await asyncio.to_thread(self._records.mark_overlay, step.cluster_id, overlay.name, verified=False)

    @activity.defn
    async def verify_overlay(self, step: OverlayStep) -> None:
        """Check from inside that containers on all nodes reach each other over it, and record what was found out."""
        party, overlay = await asyncio.to_thread(self._described, step)
        found = await party.orchestrator.verify(party.members, overlay, party.access)
        await asyncio.to_thread(self._records.mark_overlay, step.cluster_id, overlay.name, verified=True)
        if found:
            await asyncio.to_thread(self._records.set_capabilities, step.cluster_id, found)

    @activity.defn
    async def remove_overlay(self, step: OverlayStep) -> None:
        """Ensure that the overlay network is gone, and its row with it."""
        party = await asyncio.to_thread(self._party, step.cluster_id)
        await party.orchestrator.remove_overlay(party.members, step.overlay, party.access)
        await asyncio.to_thread(self._records.forget_overlay, step.cluster_id, step.overlay)

    def _described(self, step: OverlayStep) -> tuple[_Party, Overlay]:
        return self._party(step.cluster_id), self._records.overlay(step.cluster_id, step.overlay)

    def _party(self, cluster_id: str) -> _Party:
        cluster = self._records.cluster(cluster_id)
        nodes = [node for node in self._records.nodes(cluster_id) if node.state in _STAYING]
        if not nodes:
            raise NotFound(f"The cluster {cluster_id} has no nodes.")
        return _Party(
            self._orchestrators[cluster.coe],
            self._secrets.access(cluster_id),
            [node.member for node in nodes],
            [node.plan.host for node in nodes],
        )
