"""What hosts have room for, as placement sees them, and what speaks against one. Pure."""

from dataclasses import dataclass
from datetime import datetime

from domain.hosts import HostState
from domain.overlays import VXLAN_OVERHEAD_BYTES
from domain.sizes import Size

CPU_OVERCOMMIT = 4
"""So many CPUs are given away for each that a host has: nodes seldom all compute at once. Memory and disk are not."""

_GIB = 2**30
_EPSILON = 1e-9  # CPUs are fractions: three times 0.1 fits into 0.3
_STATES = {
    HostState.PREPARING: "being prepared",
    HostState.REMOVING: "being removed",
    HostState.ERROR: "in error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRoom:
    """A host as placement sees it.

    `free` is how many more nodes it has uid ranges for; `nodes` how many it carries, `of_cluster` how many of those
    are of the very cluster. `total` is what the machine has (0: not measured, and no limit), `reserved` the sum of its
    nodes' sizes, `free_disk_bytes` what was last measured. `addressed` says whether other hosts can reach it.
    `unreachable_since` is when it stopped to answer, in UTC, if it does not; it may be `soon_back` if that is not
    long ago.
    """

    host_id: str
    name: str
    state: HostState
    free: int
    nodes: int = 0
    of_cluster: int = 0
    cordoned: bool = False
    zone: str = ""
    total: Size = Size()
    reserved: Size = Size()
    free_disk_bytes: int = 0
    capabilities: frozenset[str] = frozenset()
    mtu: int = 1500
    addressed: bool = True
    unreachable_since: datetime | None = None
    soon_back: bool = False

    def share(self, size: Size, count: int) -> float:
        """Return how full it is with `count` more nodes of that size: the greatest share of memory, CPUs and disk."""
        pairs = (
            (self.reserved.memory_bytes + count * size.memory_bytes, self.total.memory_bytes),
            (self.reserved.cpus + count * size.cpus, self.total.cpus * CPU_OVERCOMMIT),
            (self.reserved.disk_bytes + count * size.disk_bytes, self.total.disk_bytes),
        )
        return max((used / there for used, there in pairs if there), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be placed: `count` nodes of one cluster, each of that size.

    `hosts` are the names of the only hosts that may be taken, if there are any; `not_hosts` of those that may not.
    `segment_mtu` is that of the cluster's network, once it has one.
    """

    count: int
    size: Size = Size()
    capabilities: frozenset[str] = frozenset()
    hosts: tuple[str, ...] = ()
    not_hosts: tuple[str, ...] = ()
    segment_mtu: int | None = None

    def asks_for(self, room: HostRoom) -> bool:
        """Return whether the host is among those that may be taken at all."""
        return (not self.hosts or room.name in self.hosts) and room.name not in self.not_hosts


def joins(room: HostRoom, wanted: Wanted) -> bool:
    """Return whether the host can carry a part of the cluster, joined to other hosts by VXLAN."""
    return room.addressed and (wanted.segment_mtu is None or room.mtu - VXLAN_OVERHEAD_BYTES >= wanted.segment_mtu)


def may_carry(room: HostRoom, wanted: Wanted) -> bool:
    """Return whether nodes of the cluster may come to the host, now or later, even if it is full or cordoned now."""
    return room.state is HostState.READY and wanted.asks_for(room) and wanted.capabilities <= room.capabilities


def capacity(room: HostRoom, size: Size) -> int:
    """Return how many more nodes of that size the host has room for."""
    return max(0, min((count for count, _ in _limits(room, size)), default=0))


def objection(room: HostRoom, wanted: Wanted) -> str | None:
    """Return what speaks against the host, however few nodes are placed; None if nothing does.

    It is a predicate: what begins with "is" may be said of several hosts at once.
    """
    return _unwilling(room, wanted) or _unable(room, wanted)


def _unwilling(room: HostRoom, wanted: Wanted) -> str | None:
    if wanted.hosts and room.name not in wanted.hosts:
        return "is not among those asked for"
    if room.name in wanted.not_hosts:
        return "is excluded"
    if room.state is not HostState.READY:
        return f"is {_STATES[room.state]}"
    if room.cordoned:
        return "is cordoned"
    since = room.unreachable_since
    return None if since is None else f"is unreachable since {since:%Y-%m-%d %H:%M} UTC"


def _unable(room: HostRoom, wanted: Wanted) -> str | None:
    missing = sorted(wanted.capabilities - room.capabilities)
    if missing:
        return f"is without {', '.join(missing)}"
    if wanted.segment_mtu is not None and room.mtu < wanted.segment_mtu:
        return f"has an MTU of {room.mtu} bytes, too few for the cluster's network of {wanted.segment_mtu}"
    return shortage(room, wanted.size) if capacity(room, wanted.size) == 0 else None


def shortage(room: HostRoom, size: Size) -> str:
    """Return what the host has least of, for nodes of that size."""
    return min(_limits(room, size), key=lambda limit: limit[0])[1]


def gib(size_bytes: float) -> str:
    """Return a size in GiB with one decimal at most."""
    return f"{size_bytes / _GIB:.1f}".removesuffix(".0")


def _limits(room: HostRoom, size: Size) -> list[tuple[int, str]]:
    """Return, for each thing that nodes of that size use up, for how many more there is, and what is left of it."""
    limits = [(room.free, "has no uid range free" if room.free <= 0 else f"has {room.free} uid ranges free")]
    if size.memory_bytes and room.total.memory_bytes:
        left = room.total.memory_bytes - room.reserved.memory_bytes
        said = f"has {gib(max(0, left))} of {gib(room.total.memory_bytes)} GiB of memory free"
        limits.append((left // size.memory_bytes, said))
    if size.cpus and room.total.cpus:
        there = room.total.cpus * CPU_OVERCOMMIT
        left_cpus = there - room.reserved.cpus
        said = f"has {max(0.0, left_cpus):g} of {there:g} CPUs free ({room.total.cpus:g} times {CPU_OVERCOMMIT})"
        limits.append((int((left_cpus + _EPSILON) // size.cpus), said))
    if size.disk_bytes and room.total.disk_bytes:
        left = room.total.disk_bytes - room.reserved.disk_bytes
        said = f"has {gib(max(0, left))} of {gib(room.total.disk_bytes)} GiB of disk free"
        limits.append((left // size.disk_bytes, said))
        # What others have written to the same disk is in no node's size.
        limits.append(
            (room.free_disk_bytes // size.disk_bytes, f"has {gib(room.free_disk_bytes)} GiB of disk free, as measured")
        )
    return limits
