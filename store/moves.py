"""Nodes that go from one host to others: what is accepted, what is waited for, and what stays behind."""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from domain.clusters import ClusterStatus
from domain.errors import Conflict, ErrorRecord, NotFound
from domain.facts import Leftover
from domain.nodes import NodeRef, NodeRole, NodeState
from domain.operations import OPEN_STATES, OperationKind
from store.acceptance import add_operation, set_status
from store.mapping import error_from_json
from store.queries import any_cluster, lock_operation, nodes_of, open_operations
from store.reservations import count_nodes, refs
from store.tables import ClusterRow, NodeRow, OperationRow


def accept_moves(session: Session, operation_id: str, host_id: str, *, dead: bool) -> list[str]:
    """Store a move for each idle cluster with workers on the host. See the port."""
    operation, _ = lock_operation(session, operation_id)
    if operation.state not in OPEN_STATES:
        raise Conflict(f"The operation {operation_id} has ended ({operation.state}); it moves nothing any more.")
    moves = _moves_of(session, operation)
    known = {move.cluster_id for move in moves}
    for cluster_id in cluster_ids_on(session, host_id):
        if cluster_id in known:
            continue
        cluster = any_cluster(session, cluster_id, lock=True)
        workers = _workers_on(session, cluster_id, host_id)
        if cluster.status != ClusterStatus.ACTIVE or not workers or open_operations(session, cluster_id):
            continue
        if dead and _manager_is_on(session, cluster_id, host_id):
            continue
        set_status(cluster, ClusterStatus.RESIZING)
        params: dict[str, object] = {"host_id": host_id, "dead": dead, "part_of": operation_id}
        moves.append(add_operation(session, cluster, OperationKind.MOVE, params))
    return [move.id for move in moves]


def awaited_clusters(session: Session, operation_id: str, host_id: str) -> list[str]:
    """Return the names of the clusters with nodes on the host that others are changing now."""
    mine = {move.id for move in _moves_of(session, session.get_one(OperationRow, operation_id))}
    return [
        any_cluster(session, cluster_id).name
        for cluster_id in cluster_ids_on(session, host_id)
        if any(other.id not in mine for other in open_operations(session, cluster_id))
    ]


def operation_ended(session: Session, operation_id: str) -> tuple[bool, ErrorRecord | None]:
    """Return whether the operation has ended, and with which error; raise `NotFound`."""
    operation = session.get(OperationRow, operation_id)
    if operation is None:
        raise NotFound(f"There is no operation {operation_id}.")
    return operation.state not in OPEN_STATES, error_from_json(operation.error)


def choose_moves(session: Session, operation_id: str) -> list[NodeRef]:
    """Mark the cluster's workers on the operation's host as removing, or find those that the operation marked."""
    operation, cluster = lock_operation(session, operation_id)
    if cluster is None:
        raise Conflict(f"The operation {operation_id} ({operation.kind}) is not about a cluster.")
    chosen = [node for node in nodes_of(session, cluster.id) if node.removed_by == operation_id]
    if not chosen and operation.state in OPEN_STATES:
        chosen = _workers_on(session, cluster.id, str(operation.params["host_id"]))
        for node in chosen:
            node.state = NodeState.REMOVING
            node.removed_by = operation_id
        session.flush()
    return refs(session, chosen)


def admit_nodes(session: Session, operation_id: str) -> None:
    """Make members of the nodes that the operation has reserved, although it goes on."""
    operation, cluster = lock_operation(session, operation_id)
    if cluster is None or operation.state not in OPEN_STATES:
        raise Conflict(f"The operation {operation_id} has ended ({operation.state}); it admits nobody any more.")
    for node in nodes_of(session, cluster.id):
        if node.operation_id == operation_id and node.state == NodeState.RESERVED:
            node.state = NodeState.ACTIVE
    session.flush()
    count_nodes(session, cluster)


def leftovers(session: Session, host_id: str) -> list[Leftover]:
    """Return what is left of nodes on the host."""
    rows = session.exec(
        select(NodeRow)
        .where(col(NodeRow.host_id) == host_id, col(NodeRow.state) == NodeState.LEFTOVER)
        .order_by(col(NodeRow.id))
    )
    return [Leftover(row.cluster_id, row.id, row.container) for row in rows]


def stuck_on_host(session: Session, host_id: str) -> list[str]:
    """Return why each node that is still on the host is there, and what helps."""
    rows = session.exec(
        select(NodeRow, ClusterRow)
        .join(ClusterRow, col(ClusterRow.id) == col(NodeRow.cluster_id))
        .where(col(NodeRow.host_id) == host_id)
        .order_by(col(NodeRow.name), col(NodeRow.id))
    ).all()
    failures = {cluster.id: _last_failure(session, cluster.id, host_id) for _, cluster in rows}
    return [_why_here(node, cluster, failures[cluster.id]) for node, cluster in rows]


def cluster_ids_on(session: Session, host_id: str) -> Sequence[str]:
    """Return the ids of the clusters of which there is anything on the host, oldest first."""
    here = select(NodeRow.cluster_id).where(col(NodeRow.host_id) == host_id)
    return session.exec(select(ClusterRow.id).where(col(ClusterRow.id).in_(here)).order_by(col(ClusterRow.id))).all()


def _moves_of(session: Session, operation: OperationRow) -> list[OperationRow]:
    """Return the moves that an operation on a host has asked for. Older ones than it are none of its."""
    moves = session.exec(
        select(OperationRow)
        .where(col(OperationRow.kind) == OperationKind.MOVE, col(OperationRow.id) > operation.id)
        .order_by(col(OperationRow.id))
    )
    return [move for move in moves if move.params.get("part_of") == operation.id]


def _workers_on(session: Session, cluster_id: str, host_id: str) -> list[NodeRow]:
    return [
        node
        for node in nodes_of(session, cluster_id)
        if node.host_id == host_id and node.role == NodeRole.WORKER and node.state == NodeState.ACTIVE
    ]


def _manager_is_on(session: Session, cluster_id: str, host_id: str) -> bool:
    return any(node.host_id == host_id and node.role == NodeRole.MANAGER for node in nodes_of(session, cluster_id))


def _last_failure(session: Session, cluster_id: str, host_id: str) -> ErrorRecord | None:
    """Return why the cluster's last move off the host failed, None if it didn't or there was none."""
    moves = session.exec(
        select(OperationRow)
        .where(col(OperationRow.cluster_id) == cluster_id, col(OperationRow.kind) == OperationKind.MOVE)
        .order_by(col(OperationRow.id).desc())
    )
    last = next((move for move in moves if move.params.get("host_id") == host_id), None)
    return None if last is None else error_from_json(last.error)


def _why_here(node: NodeRow, cluster: ClusterRow, failure: ErrorRecord | None) -> str:
    match (node.state, cluster.status):
        case (NodeState.LEFTOVER, _):
            return f"{node.name} is what is left of a node that could not be removed: a sweep removes it."
        case (_, ClusterStatus.DELETING | ClusterStatus.DELETED):
            return f"{node.name} goes with the cluster {cluster.name!r}, which is being deleted: wait for that."
        case (_, ClusterStatus.CREATING | ClusterStatus.ERROR):
            return f"{node.name} is of the cluster {cluster.name!r}, which is {cluster.status}: wait, or delete it."
    if node.role == NodeRole.MANAGER:
        return (
            f"{node.name} manages the cluster {cluster.name!r}, and managers can't be moved: "
            "create another cluster elsewhere, move what runs in this one, and delete it."
        )
    if failure is not None:
        remedy = f" {failure.remedy}" if failure.remedy else ""
        return f"{node.name} could not be replaced: {failure.detail.rstrip('.')}.{remedy}"
    return f"{node.name} was not moved, because its cluster {cluster.name!r} was being changed: try again."
