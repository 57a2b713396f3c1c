"""On which hosts new nodes go: a pure choice over a snapshot of the hosts."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.errors import HostNotReady, NoRoom
from domain.hosts import HostState


@dataclass(frozen=True, slots=True)
class HostRoom:
    """A host as placement sees it: how many nodes it carries, and how many more it has uid ranges for."""

    host_id: str
    name: str
    state: HostState
    nodes: int
    free: int


def place(hosts: Sequence[HostRoom], count: int) -> list[str]:
    """Return the id of a host for each of `count` nodes: always the ready one with the fewest nodes.

    Ties go to the name that sorts first, so the same snapshot gives the same choice. Raises `HostNotReady` if
    no host is ready, and `NoRoom`, which names each host and what is wrong with it, if they can't hold all.
    """
    ready = [host for host in hosts if host.state is HostState.READY]
    if not ready:
        raise HostNotReady(f"No host is ready: {_explain(hosts)}.")
    if sum(host.free for host in ready) < count:
        raise NoRoom(f"There is no room for {count} more nodes: {_explain(hosts)}.")
    placed = {host.host_id: 0 for host in ready}
    chosen: list[str] = []
    for _ in range(count):
        best = min(
            (host for host in ready if placed[host.host_id] < host.free),
            key=lambda host: (host.nodes + placed[host.host_id], host.name, host.host_id),
        )
        placed[best.host_id] += 1
        chosen.append(best.host_id)
    return chosen


def _explain(hosts: Sequence[HostRoom]) -> str:
    reasons = [
        f"{host.name} has room for {host.free}" if host.state is HostState.READY else f"{host.name} is {host.state}"
        for host in sorted(hosts, key=lambda host: (host.name, host.host_id))
    ]
    return ", ".join(reasons) or "there are no hosts"
