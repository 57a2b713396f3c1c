"""What nodes hold while they are there: an index, an address, a uid range, a place, a name. Taken and given back."""

from collections.abc import Sequence

from sqlmodel import Session, col, select
from uuid_utils.compat import uuid7

from domain.allocation import choose_indexes, node_address
from domain.clusters import ClusterStatus
from domain.errors import Conflict
from domain.hosts import CAP_ESP
from domain.instance import Instance
from domain.nodes import NodeRef, NodeRole, NodeState
from domain.operations import OPEN_STATES, OperationKind
from domain.placement import place
from domain.rooms import Wanted, may_carry
from store.cluster_networks import free_network, give_network, plan_default_overlay
from store.columns import now
from store.host_rooms import HostUse, lock_hosts
from store.mapping import options_from_json, type_from_json
from store.queries import any_cluster, lock_operation, nodes_of
from store.tables import ClusterRow, HostRow, NodeRow, OperationRow, OverlayRow

_MEMBERS = frozenset({NodeState.ACTIVE, NodeState.REMOVING})
_PRESENT = _MEMBERS | {NodeState.RESERVED}


def reserve_nodes(
    session: Session, instance: Instance, operation_id: str, count: int
) -> tuple[list[NodeRef], str | None]:
    """Reserve `count` nodes for the operation, or find those that it reserved. See the port.

    Beside the nodes, the explanation of their places is returned if they were chosen just now.
    """
    operation, cluster = _locked(session, operation_id)
    known = operation_nodes(session, operation_id)
    if known:
        return known, None
    if operation.state not in OPEN_STATES:
        raise Conflict(f"The operation {operation_id} has ended ({operation.state}); it reserves nothing any more.")
    uses = lock_hosts(session, cluster.id)
    kind, options = type_from_json(cluster.type), options_from_json(cluster.options)
    wanted = Wanted(
        count=count,
        size=kind.size,
        capabilities=frozenset(kind.requires) | _used(session, cluster),
        hosts=options.hosts,
        not_hosts=options.not_hosts,
        segment_mtu=cluster.segment_mtu,
    )
    rooms = [use.room for use in uses.values()]
    placement = place(rooms, wanted)
    chosen = [uses[host_id] for host_id in placement.host_ids]
    others = [uses[room.host_id].host for room in rooms if may_carry(room, wanted)]
    give_network(session, cluster, [use.host for use in chosen], others)
    if operation.kind == OperationKind.CREATE:
        plan_default_overlay(session, cluster)
    indexes = choose_indexes({node.index for node in nodes_of(session, cluster.id)}, count)
    nodes = [_node(instance, operation, cluster, use, index=index) for index, use in zip(indexes, chosen, strict=True)]
    session.add_all(nodes)
    session.flush()
    return refs(session, nodes), placement.explanation


def _used(session: Session, cluster: ClusterRow) -> frozenset[str]:
    """Return the capabilities without which a host would break what the cluster has: encrypted networks need ESP."""
    encrypted = select(OverlayRow.name).where(col(OverlayRow.cluster_id) == cluster.id, col(OverlayRow.encrypted))
    return frozenset() if session.exec(encrypted).first() is None else frozenset({CAP_ESP})


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


def _locked(session: Session, operation_id: str) -> tuple[OperationRow, ClusterRow]:
    operation, cluster = lock_operation(session, operation_id)
    if cluster is None:
        raise Conflict(f"The operation {operation_id} ({operation.kind}) is not about a cluster.")
    return operation, cluster


def _node(instance: Instance, operation: OperationRow, cluster: ClusterRow, use: HostUse, *, index: int) -> NodeRow:
    node_id = str(uuid7())
    name = cluster.name.lower()
    role = NodeRole.MANAGER if index == 1 else NodeRole.WORKER
    return NodeRow(
        id=node_id,
        tenant_id=cluster.tenant_id,
        cluster_id=cluster.id,
        operation_id=operation.id,
        host_id=use.host.id,
        index=index,
        name=f"{name}-{index}",
        role=role,
        uid_slot=use.take_slot(),
        address=node_address(str(cluster.subnet), index),
        container=instance.container(name, index, node_id),
        image="",  # until it is there: see `set_image`
        api_port=use.take_api_port(type_from_json(cluster.type), role),
    )
