"""What hosts have left: the snapshot from which placement chooses, and in which what it chose is taken."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from domain.allocation import choose_uid_slots
from domain.clusters import COE_KUBERNETES, ClusterType
from domain.errors import HostNotReady
from domain.hosts import Claim, Endpoint, Host, HostState
from domain.nodes import NodeRole, NodeState
from domain.publications import choose_api_port
from domain.rooms import HostRoom
from domain.sizes import Size
from store.columns import now
from store.mapping import host_from_row, size_from_json, type_from_json, unreachable_from_json
from store.tables import ClusterRow, HostRow, NodeRow, PublicationRow

AWAY_FOR_A_MOMENT = timedelta(minutes=3)
"""So long is a host that does not answer worth waiting for: a reboot, or a cable."""

_GOING = frozenset({NodeState.REMOVING, NodeState.LEFTOVER})


@dataclass
class HostUse:
    """A host, and what nodes hold on it: uid slots, ports, and the sum of their sizes."""

    host: Host
    free_disk_bytes: int
    unreachable_since: datetime | None = None
    slots: set[int] = field(default_factory=set)
    ports: set[int] = field(default_factory=set)
    reserved: Size = Size()
    of_cluster: int = 0

    @property
    def claim(self) -> Claim:
        """What the instance has claimed on the host; raises `HostNotReady` if it has not."""
        if self.host.claim is None:
            raise HostNotReady(f"The host {self.host.name} has claimed no network and no uids.")
        return self.host.claim

    @property
    def room(self) -> HostRoom:
        """The host as placement sees it."""
        host = self.host
        return HostRoom(
            host_id=host.id,
            name=host.name,
            state=HostState.PREPARING if host.state is HostState.READY and host.claim is None else host.state,
            free=0 if host.claim is None else host.claim.uid_ranges - len(self.slots),
            nodes=len(self.slots),
            of_cluster=self.of_cluster,
            cordoned=host.cordoned,
            zone=host.zone,
            total=host.size,
            reserved=self.reserved,
            free_disk_bytes=self.free_disk_bytes,
            capabilities=host.capabilities,
            mtu=host.mtu,
            addressed=bool(host.fabric_address),
            unreachable_since=self.unreachable_since,
            soon_back=self.unreachable_since is not None and now() - self.unreachable_since < AWAY_FOR_A_MOMENT,
        )

    def take_slot(self) -> int:
        """Take the lowest free uid slot; raise `NoRoom` if there is none."""
        slot = choose_uid_slots(self.claim, self.slots, 1)[0]
        self.slots.add(slot)
        return slot

    def take_api_port(self, kind: ClusterType, role: NodeRole) -> int | None:
        """Take a port that leads to the native API of a node, where the host publishes ports and the node has one.

        Docker answers on each node of a Swarm, Kubernetes on the manager alone.
        """
        if self.host.endpoint is not Endpoint.PUBLISHED or (
            kind.coe == COE_KUBERNETES and role is not NodeRole.MANAGER
        ):
            return None
        port = choose_api_port(frozenset(self.ports))
        self.ports.add(port)
        return port


def lock_hosts(session: Session, cluster_id: str) -> Mapping[str, HostUse]:
    """Return what is held on each host, by its id, and how many nodes of the cluster it has that stay.

    All hosts are locked until the transaction ends, always in the same order: reservations follow one another, and
    none waits in a circle.
    """
    rows = session.exec(
        select(HostRow)
        .order_by(col(HostRow.id))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).all()
    uses = {row.id: HostUse(host_from_row(row), _free_disk(row), _unreachable_since(row)) for row in rows}
    asked_ports = set(session.exec(select(PublicationRow.host_port)).all())
    for use in uses.values():
        use.ports |= asked_ports | {use.host.login.port}
    sizes = _sizes(session)
    held: dict[str, Counter[Size]] = {host_id: Counter() for host_id in uses}
    nodes = select(NodeRow.host_id, NodeRow.cluster_id, NodeRow.uid_slot, NodeRow.state)
    for host_id, of_cluster, slot, state in session.exec(nodes):
        use = uses[host_id]
        use.slots.add(slot)
        use.of_cluster += of_cluster == cluster_id and state not in _GOING
        held[host_id][sizes[of_cluster]] += 1
    for host_id, port in session.exec(
        select(NodeRow.host_id, NodeRow.api_port).where(col(NodeRow.api_port).is_not(None))
    ):
        uses[host_id].ports |= set() if port is None else {port}
    for host_id, by_size in held.items():
        uses[host_id].reserved = _sum(by_size)
    return uses


def reserved_sizes(session: Session, host_ids: Sequence[str]) -> Mapping[str, Size]:
    """Return the sum of the sizes of the nodes on each of these hosts, by its id; hosts without nodes are left out."""
    sizes = _sizes(session)
    held: dict[str, Counter[Size]] = {}
    nodes = select(NodeRow.host_id, NodeRow.cluster_id).where(col(NodeRow.host_id).in_(host_ids))
    for host_id, cluster_id in session.exec(nodes):
        held.setdefault(host_id, Counter())[sizes[cluster_id]] += 1
    return {host_id: _sum(by_size) for host_id, by_size in held.items()}


def _free_disk(row: HostRow) -> int:
    return 0 if row.report is None else size_from_json(row.report.get("free")).disk_bytes


def _unreachable_since(row: HostRow) -> datetime | None:
    unreachable = unreachable_from_json(row.unreachable)
    return None if unreachable is None else unreachable.since


def _sizes(session: Session) -> Mapping[str, Size]:
    """Return the size of the nodes of each cluster that has any."""
    with_nodes = select(NodeRow.cluster_id).distinct()
    rows = session.exec(select(ClusterRow.id, ClusterRow.type).where(col(ClusterRow.id).in_(with_nodes))).all()
    return {cluster_id: type_from_json(dict(kind)).size for cluster_id, kind in rows}


def _sum(by_size: Counter[Size]) -> Size:
    return Size(
        sum(size.cpus * count for size, count in by_size.items()),
        sum(size.memory_bytes * count for size, count in by_size.items()),
        sum(size.disk_bytes * count for size, count in by_size.items()),
    )
