"""What nodes hold while they are there: an index, an address, a uid range, a place, a name. Taken and given back."""

from collections.abc import Sequence

from sqlmodel import Session, col, select
from uuid_utils.compat import uuid7

from domain.allocation import choose_indexes, choose_slot, choose_uid_slots, cluster_subnet, node_address
from domain.clusters import COE_KUBERNETES, ClusterStatus
from domain.errors import Conflict, HostNotReady
from domain.hosts import Claim, Host, HostState
from domain.instance import Instance
from domain.nodes import NodeRef, NodeRole, NodeState
from domain.operations import OPEN_STATES, OperationKind
from domain.overlays import DEFAULT_OVERLAY, choose_subnet
from domain.placement import HostRoom, place
from store.acceptance import first_overlay
from store.columns import now
from store.mapping import host_from_row, options_from_json, type_from_json
from store.overlay_acceptance import NewOverlay, add_overlay, add_pod_network
from store.queries import any_cluster, lock_operation, nodes_of
from store.tables import ClusterRow, HostRow, NodeRow, OperationRow

_MEMBERS = frozenset({NodeState.ACTIVE, NodeState.REMOVING})
_PRESENT = _MEMBERS | {NodeState.RESERVED}


def reserve_nodes(session: Session, instance: Instance, operation_id: str, count: int) -> list[NodeRef]:
    """Reserve `count` nodes for the operation, or find those that it reserved. See the port."""
    operation, cluster = _locked(session, operation_id)
    known = operation_nodes(session, operation_id)
    if known:
        return known
    if operation.state not in OPEN_STATES:
        raise Conflict(f"The operation {operation_id} has ended ({operation.state}); it reserves nothing any more.")
    hosts = _lock_hosts(session)
    taken = {host.id: _uid_slots(session, host.id) for host in hosts}
    order = place([_room(host, taken[host.id]) for host in hosts], count)
    by_id = {host.id: host for host in hosts}
    _give_network(session, cluster, [by_id[host_id] for host_id in order])
    if operation.kind == OperationKind.CREATE:
        _plan_default_overlay(session, cluster)
    indexes = choose_indexes({node.index for node in nodes_of(session, cluster.id)}, count)
    nodes = []
    for index, host_id in zip(indexes, order, strict=True):
        host = by_id[host_id]
        uid_slot = choose_uid_slots(_claim(host), taken[host_id], 1)[0]
        taken[host_id].add(uid_slot)
        nodes.append(_node(instance, operation, cluster, host, index=index, uid_slot=uid_slot))
    session.add_all(nodes)
    session.flush()
    return refs(session, nodes)


def operation_nodes(session: Session, operation_id: str) -> list[NodeRef]:
    """Return the nodes that the operation has reserved and that are still there, by index."""
    rows = session.exec(
        select(NodeRow).where(col(NodeRow.operation_id) == operation_id).order_by(col(NodeRow.index))
    ).all()
    return refs(session, rows)


def set_image(session: Session, operation_id: str, host_id: str, digest: str) -> None:
    """Record the image that the nodes which the operation reserved on the host are made from."""
    _locked(session, operation_id)
    for node in session.exec(
        select(NodeRow).where(col(NodeRow.operation_id) == operation_id, col(NodeRow.host_id) == host_id)
    ):
        node.image = digest


def release_nodes(session: Session, cluster_id: str, node_ids: Sequence[str]) -> None:
    """Give back what the nodes held. With the last one of a deleted cluster, its network is free as well."""
    cluster = any_cluster(session, cluster_id, lock=True)
    for node in nodes_of(session, cluster_id):
        if node.id in node_ids:
            session.delete(node)
    session.flush()
    count_nodes(session, cluster)
    free_network(session, cluster)


def mark_nodes_leftover(session: Session, cluster_id: str, node_ids: Sequence[str]) -> None:
    """Keep what the nodes hold until a sweep has removed their containers; they count no more."""
    cluster = any_cluster(session, cluster_id, lock=True)
    for node in nodes_of(session, cluster_id):
        if node.id in node_ids:
            node.state = NodeState.LEFTOVER
    session.flush()
    count_nodes(session, cluster)


def choose_removals(session: Session, operation_id: str, count: int) -> list[NodeRef]:
    """Mark the `count` newest workers as removing, or find those that the operation marked."""
    operation, cluster = _locked(session, operation_id)
    nodes = nodes_of(session, cluster.id)
    chosen = [node for node in nodes if node.removed_by == operation_id]
    if chosen:
        return refs(session, chosen)
    if operation.state not in OPEN_STATES:
        raise Conflict(f"The operation {operation_id} has ended ({operation.state}); it removes nothing any more.")
    workers = [node for node in nodes if node.role == NodeRole.WORKER and node.state == NodeState.ACTIVE]
    if len(workers) < count:
        raise Conflict(f"The cluster {cluster.name!r} has {len(workers)} workers; {count} were to be removed.")
    newest = sorted(workers, key=lambda node: node.id, reverse=True)[:count]
    for node in newest:
        node.state = NodeState.REMOVING
        node.removed_by = operation_id
    session.flush()
    return refs(session, sorted(newest, key=lambda node: node.index))


def refs(session: Session, nodes: Sequence[NodeRow]) -> list[NodeRef]:
    """Return what workflows know of nodes."""
    if not nodes:
        return []
    names = dict(session.exec(select(HostRow.id, HostRow.name)).all())
    return [NodeRef(node.id, node.name, NodeRole(node.role), names[node.host_id]) for node in nodes]


def count_nodes(session: Session, cluster: ClusterRow) -> None:
    """Set the cluster's count to its members; while it is being created, the count is what was asked for.

    In a cluster that failed or is being deleted, what is there counts, member or not.
    """
    if cluster.status == ClusterStatus.CREATING:
        return
    whole = cluster.status in {ClusterStatus.ACTIVE, ClusterStatus.RESIZING}
    counted = _MEMBERS if whole else _PRESENT
    count = sum(node.state in counted for node in nodes_of(session, cluster.id))
    if count != cluster.node_count:
        cluster.node_count = count
        cluster.updated_at = now()


def free_network(session: Session, cluster: ClusterRow) -> None:
    """Give back the network of a deleted cluster of which nothing is left."""
    if cluster.status == ClusterStatus.DELETED and not nodes_of(session, cluster.id):
        cluster.slot = None
        cluster.subnet = None


def _locked(session: Session, operation_id: str) -> tuple[OperationRow, ClusterRow]:
    operation, cluster = lock_operation(session, operation_id)
    if cluster is None:
        raise Conflict(f"The operation {operation_id} ({operation.kind}) is not about a cluster.")
    return operation, cluster


def _lock_hosts(session: Session) -> Sequence[HostRow]:
    """Lock all hosts, always in the same order: reservations follow one another, and none waits in a circle."""
    return session.exec(select(HostRow).order_by(col(HostRow.id)).with_for_update(key_share=True)).all()


def _uid_slots(session: Session, host_id: str) -> set[int]:
    return set(session.exec(select(NodeRow.uid_slot).where(col(NodeRow.host_id) == host_id)).all())


def _room(row: HostRow, taken: set[int]) -> HostRoom:
    host: Host = host_from_row(row)
    state = HostState.PREPARING if host.state is HostState.READY and host.claim is None else host.state
    free = 0 if host.claim is None else host.claim.uid_ranges - len(taken)
    return HostRoom(host.id, host.name, state, nodes=len(taken), free=free)


def _claim(row: HostRow) -> Claim:
    claim = host_from_row(row).claim
    if claim is None:
        raise HostNotReady(f"The host {row.name} has claimed no network and no uids.")
    return claim


def _give_network(session: Session, cluster: ClusterRow, hosts: Sequence[HostRow]) -> None:
    """Take a slot, and with it a subnet, for a cluster that has none. Its MTU is the least of its hosts'."""
    if cluster.segment_mtu is not None:
        return
    if cluster.slot is None:
        network = _claim(hosts[0]).network
        taken = session.exec(select(ClusterRow.slot).where(col(ClusterRow.slot).is_not(None))).all()
        cluster.slot = choose_slot(network, {slot for slot in taken if slot is not None})
        cluster.subnet = cluster_subnet(network, cluster.slot)
    cluster.segment_mtu = min(host.mtu for host in hosts)
    cluster.updated_at = now()
    session.flush()


def _plan_default_overlay(session: Session, cluster: ClusterRow) -> None:
    options = options_from_json(cluster.options)
    if not first_overlay(type_from_json(cluster.type), options):
        return
    if cluster.type["coe"] == COE_KUBERNETES:
        add_pod_network(session, cluster, options.pod_subnet)
    else:
        add_overlay(session, cluster, NewOverlay(DEFAULT_OVERLAY), choose_subnet(()))


def _node(
    instance: Instance, operation: OperationRow, cluster: ClusterRow, host: HostRow, *, index: int, uid_slot: int
) -> NodeRow:
    node_id = str(uuid7())
    name = cluster.name.lower()
    return NodeRow(
        id=node_id,
        tenant_id=cluster.tenant_id,
        cluster_id=cluster.id,
        operation_id=operation.id,
        host_id=host.id,
        index=index,
        name=f"{name}-{index}",
        role=NodeRole.MANAGER if index == 1 else NodeRole.WORKER,
        uid_slot=uid_slot,
        address=node_address(str(cluster.subnet), index),
        container=instance.container(name, index, node_id),
        image="",  # until it is there: see `set_image`
    )
