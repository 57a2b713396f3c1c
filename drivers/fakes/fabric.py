"""Clusters' networks that are only remembered."""

from collections.abc import Callable, Sequence

from domain.hosts import Host, TunnelPeer
from domain.nodes import FoundSegment, Neighbour, NodePlan, Segment
from domain.publications import Publication


def all_well(host: str) -> None:
    """Let every host answer."""


class FakeFabric:
    """A `Fabric` without a kernel.

    `segments` and `neighbours` hold what is there, by the host's id and the bridge's name, `publications`, `guarded`
    and `tunnels` by the host's id. `cut` are the pairs of addresses, from and to, between which no packets pass;
    `probed` are those between which some were sent; `flushed` the ids of hosts whose rules something took away. `fail`
    is called before each step with the host's name; what it raises, the step raises.
    """

    def __init__(self, fail: Callable[[str], None] = all_well) -> None:
        self.fail = fail
        self.segments: dict[tuple[str, str], Segment] = {}
        self.neighbours: dict[tuple[str, str], frozenset[Neighbour]] = {}
        self.publications: dict[str, frozenset[Publication]] = {}
        self.guarded: dict[str, frozenset[str]] = {}
        self.tunnels: dict[str, frozenset[TunnelPeer]] = {}
        self.flushed: set[str] = set()
        self.cut: set[tuple[str, str]] = set()
        self.probed: set[tuple[str, str]] = set()

    async def ensure_segment(self, host: Host, segment: Segment, neighbours: Sequence[Neighbour] = ()) -> None:
        """Remember the segment, and who is on other hosts."""
        self.fail(host.name)
        self.segments[host.id, segment.bridge] = segment
        self.neighbours[host.id, segment.bridge] = frozenset(neighbours)

    async def remove_segment(self, host: Host, bridge: str) -> None:
        """Forget the segment. None there is no error."""
        self.fail(host.name)
        self._forget((host.id, bridge))

    async def found(self, host: Host) -> Sequence[FoundSegment]:
        """Return what is remembered of the host."""
        self.fail(host.name)
        return [
            FoundSegment(bridge, segment.cluster_id)
            for (host_id, bridge), segment in sorted(self.segments.items())
            if host_id == host.id
        ]

    async def probe(self, plan: NodePlan, targets: Sequence[str]) -> Sequence[str]:
        """Return those of `targets` that the node's packets don't get to."""
        self.fail(plan.host.name)
        self.probed.update((plan.address, target) for target in targets)
        return [target for target in targets if (plan.address, target) in self.cut]

    async def ensure_publications(self, host: Host, publications: Sequence[Publication]) -> None:
        """Remember which ports lead to nodes."""
        self.fail(host.name)
        self.publications[host.id] = frozenset(publications)

    async def ensure_rules(self, host: Host) -> bool:
        """Bring back the rules of a host that are `flushed`, if it has segments."""
        self.fail(host.name)
        gone = host.id in self.flushed and any(host_id == host.id for host_id, _ in self.segments)
        self.flushed.discard(host.id)
        return gone

    async def ensure_guarded(self, host: Host, networks: Sequence[str]) -> None:
        """Remember the networks that nodes can't reach."""
        self.fail(host.name)
        self.guarded[host.id] = frozenset(networks)

    async def ensure_tunnels(self, host: Host, peers: Sequence[TunnelPeer]) -> None:
        """Remember which hosts are reached by WireGuard."""
        self.fail(host.name)
        self.tunnels[host.id] = frozenset(peers)

    async def remove_all(self, host: Host) -> None:
        """Forget all that is remembered of the host."""
        for key in [key for key in self.segments if key[0] == host.id]:
            self._forget(key)
        self.publications.pop(host.id, None)
        self.guarded.pop(host.id, None)
        self.tunnels.pop(host.id, None)

    def _forget(self, key: tuple[str, str]) -> None:
        self.segments.pop(key, None)
        self.neighbours.pop(key, None)
