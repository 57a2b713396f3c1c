"""On which hosts new nodes go: a pure choice over a snapshot of the hosts, and why it is that one."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from domain.errors import HostNotReady, NoRoom
from domain.hosts import HostState
from domain.rooms import HostRoom, Wanted, capacity, gib, joins, objection, shortage

NAMES_SHOWN = 24
"""Of more hosts of which the same is said, the rest are only counted: errors and notes have a bounded length."""

_ALONE = "has no way to other hosts, so it carries a cluster alone or not at all"
_Key = tuple[int, int, float, float, str, str]


@dataclass(frozen=True, slots=True)
class Placement:
    """The id of a host for each node, and what was said of each host when it was chosen or not."""

    host_ids: Sequence[str]
    explanation: str


def place(hosts: Iterable[HostRoom], wanted: Wanted) -> Placement:
    """Return hosts for all the nodes wanted; the same snapshot, in whatever order, gives the same choice.

    Each node goes to the zone with the fewest nodes of its cluster, there to the host with the fewest of them, then
    to the one that is least full, then to the one with the fewest nodes for its memory, then by name. A host that
    others can't be joined to carries a cluster alone, if it must. Raises `NoRoom` if the hosts that may be taken
    can't hold all, and `HostNotReady` if they may once they are ready; both say of each host what is wrong with it.
    """
    rooms = sorted(hosts, key=lambda room: (room.name, room.host_id))
    said = {room.host_id: reason for room in rooms if (reason := objection(room, wanted)) is not None}
    pool = _pool(rooms, wanted)
    if pool is None:
        raise _refusal(rooms, wanted, said)
    return _spread(rooms, pool, wanted, said)


def _pool(rooms: Sequence[HostRoom], wanted: Wanted) -> Sequence[HostRoom] | None:
    """Return the hosts of which some are to take all the nodes; None if there are no such."""
    usable = [room for room in rooms if objection(room, wanted) is None]
    pools = _pools(rooms, usable, wanted)
    return next((pool for pool in pools if sum(capacity(room, wanted.size) for room in pool) >= wanted.count), None)


def _pools(rooms: Sequence[HostRoom], usable: Sequence[HostRoom], wanted: Wanted) -> Iterable[Sequence[HostRoom]]:
    """Yield the sets of hosts of which one is to take all the nodes, the best first."""
    carrying = [room for room in rooms if room.of_cluster]
    if len(carrying) == 1 and not joins(carrying[0], wanted):
        yield [room for room in usable if room.of_cluster]
        return
    yield [room for room in usable if joins(room, wanted)]
    if not carrying:
        alone = [room for room in usable if not joins(room, wanted)]
        yield from ([room] for room in sorted(alone, key=_Order(rooms, alone, wanted).key))


class _Order:
    """Says which of a pool of hosts takes the next node, given those that were `placed` so far."""

    def __init__(self, rooms: Sequence[HostRoom], pool: Sequence[HostRoom], wanted: Wanted) -> None:
        self._size = wanted.size
        self._zones = Counter[str]()
        for room in rooms:
            self._zones[room.zone] += room.of_cluster
        self.placed = Counter[str]()
        self.by_memory = all(room.total.memory_bytes for room in pool)

    def key(self, room: HostRoom) -> _Key:
        """Return what is least for the best host."""
        here = self.placed[room.host_id]
        return (
            self._zones[room.zone],
            room.of_cluster + here,
            room.share(self._size, here + 1),
            (room.nodes + here) / (room.total.memory_bytes if self.by_memory else 1),
            room.name,
            room.host_id,
        )

    def take(self, room: HostRoom) -> None:
        """Place a node on the host."""
        self.placed[room.host_id] += 1
        self._zones[room.zone] += 1


def _spread(rooms: Sequence[HostRoom], pool: Sequence[HostRoom], wanted: Wanted, said: Mapping[str, str]) -> Placement:
    order = _Order(rooms, pool, wanted)
    space = {room.host_id: capacity(room, wanted.size) for room in pool}
    chosen: list[str] = []
    keys: Mapping[str, _Key] = {}
    for _ in range(wanted.count):
        open_ones = [room for room in pool if order.placed[room.host_id] < space[room.host_id]]
        keys = {room.host_id: order.key(room) for room in open_ones}
        best = min(open_ones, key=lambda room: keys[room.host_id])
        order.take(best)
        chosen.append(best.host_id)
    last = keys[chosen[-1]]
    words: dict[str, str] = {}
    for room in rooms:
        if order.placed[room.host_id]:
            words[room.host_id] = _taken(room, order.placed[room.host_id], wanted)
        elif room.host_id in keys:
            words[room.host_id] = _passed_over(room, keys[room.host_id], last, by_memory=order.by_memory)
        else:
            words[room.host_id] = said.get(room.host_id, _ALONE)
    return Placement(tuple(chosen), _sentence(rooms, words))


def _taken(room: HostRoom, count: int, wanted: Wanted) -> str:
    facts = [f"zone {room.zone}"] if room.zone else []
    facts.append(f"{room.of_cluster} of the cluster and {room.nodes} in all before")
    facts.append(f"{room.share(wanted.size, count):.0%} full with them")
    return f"takes {count} ({', '.join(facts)})"


def _passed_over(room: HostRoom, key: _Key, best: _Key, *, by_memory: bool) -> str:
    """Return in what the host fell behind the one that took the last node."""
    if key[0] != best[0]:
        return f"has more of the cluster in its zone {room.zone}".rstrip()
    if key[1] != best[1]:
        return "has more of the cluster"
    if key[2] != best[2]:
        return f"would be fuller ({key[2]:.0%} against {best[2]:.0%})"
    if key[3] != best[3]:
        return "has more nodes for its memory" if by_memory else "has more nodes"
    return "is as good and comes later by name"


def _refusal(rooms: Sequence[HostRoom], wanted: Wanted, said: Mapping[str, str]) -> HostNotReady | NoRoom:
    words = {room.host_id: said.get(room.host_id) or _too_small(room, wanted) for room in rooms}
    explanation = _sentence(rooms, words, asked=wanted.hosts)
    asked = [room.state for room in rooms if wanted.asks_for(room)]
    if HostState.READY not in asked and (asked or not rooms):
        return HostNotReady(f"No host is ready: {explanation}")
    if _pool([_prepared(room, wanted) for room in rooms], wanted) is not None:
        return HostNotReady(f"There is no room for {_asked(wanted)} until more hosts are ready: {explanation}")
    return NoRoom(f"There is no room for {_asked(wanted)}: {explanation}")


def _prepared(room: HostRoom, wanted: Wanted) -> HostRoom:
    """Return what a host that is being prepared, or is away for a moment, may be soon.

    One that never was ready may have room for anything.
    """
    if room.state is HostState.READY and room.soon_back:
        return replace(room, unreachable_since=None)
    if room.state is not HostState.PREPARING:
        return room
    return replace(room, state=HostState.READY, free=room.free if room.nodes or room.free else wanted.count)


def _too_small(room: HostRoom, wanted: Wanted) -> str:
    holds = capacity(room, wanted.size)
    if joins(room, wanted):
        return f"has room for {holds} ({shortage(room, wanted.size).removeprefix('has ')})"
    return _ALONE if holds >= wanted.count else f"has room for {holds}, and {_ALONE.removeprefix('has ')}"


def _asked(wanted: Wanted) -> str:
    size = wanted.size
    parts = [
        f"{size.cpus:g} CPUs" if size.cpus else "",
        f"{gib(size.memory_bytes)} GiB of memory" if size.memory_bytes else "",
        f"{gib(size.disk_bytes)} GiB of disk" if size.disk_bytes else "",
    ]
    each = ", ".join(part for part in parts if part)
    nodes = "one more node" if wanted.count == 1 else f"{wanted.count} more nodes"
    return f"{nodes} of {each}" if each else nodes


def _sentence(rooms: Sequence[HostRoom], words: Mapping[str, str], *, asked: Sequence[str] = ()) -> str:
    """Return what is said of all hosts. Of those of which the same "is" is said, that is said once."""
    groups: dict[str, list[str]] = {}
    for room in rooms:
        groups.setdefault(words[room.host_id], []).append(room.name)
    parts = [part for reason, names in groups.items() for part in _said(reason, names)]
    there = {room.name for room in rooms}
    parts += [f"{name} is asked for and not there" for name in asked if name not in there]
    counted = {0: "there are no hosts", 1: "1 host"}.get(len(rooms), f"{len(rooms)} hosts")
    return f"{counted}: {', '.join(parts)}." if parts else f"{counted}."


def _said(reason: str, names: Sequence[str]) -> list[str]:
    if len(names) == 1 or not reason.startswith("is "):
        shown = [f"{name} {reason}" for name in names[:NAMES_SHOWN]]
        return shown + ([f"{len(names) - NAMES_SHOWN} more likewise"] if len(names) > NAMES_SHOWN else [])
    shown = list(names[:NAMES_SHOWN]) + ([f"{len(names) - NAMES_SHOWN} more"] if len(names) > NAMES_SHOWN else [])
    return [f"{len(names)} {reason.removeprefix('is ')} ({', '.join(shown)})"]
