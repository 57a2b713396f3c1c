"""Clusters' networks that are only remembered."""

from collections.abc import Sequence

from domain.hosts import Host
from domain.nodes import FoundSegment, Segment


class FakeFabric:
    """A `Fabric` without a kernel. `segments` holds what is there, by the host's id and the bridge's name."""

    def __init__(self) -> None:
        self.segments: dict[tuple[str, str], Segment] = {}

    async def ensure_segment(self, host: Host, segment: Segment) -> None:
        """Remember the segment."""
        self.segments[host.id, segment.bridge] = segment

    async def remove_segment(self, host: Host, bridge: str) -> None:
        """Forget the segment. None there is no error."""
        self.segments.pop((host.id, bridge), None)

    async def found(self, host: Host) -> Sequence[FoundSegment]:
        """Return what is remembered of the host."""
        return [
            FoundSegment(bridge, segment.cluster_id)
            for (host_id, bridge), segment in sorted(self.segments.items())
            if host_id == host.id
        ]

    async def remove_all(self, host: Host) -> None:
        """Forget all of the host's segments."""
        for key in [key for key in self.segments if key[0] == host.id]:
            del self.segments[key]
