"""What is stored when a change to a cluster is accepted: the cluster, the operation and the key, or nothing."""

from dataclasses import asdict, dataclass, field

from sqlalchemy import func
from sqlmodel import Session, col, select
from uuid_utils.compat import uuid7

from domain.allocation import cluster_subnet
from domain.clusters import (
    COE_KUBERNETES,
    ClusterStatus,
    ClusterType,
    check_move,
    check_name,
    check_node_count,
)
from domain.errors import ClusterBusy, Conflict, KeyReused, NameTaken, SubnetOverlaps, Unavailable
from domain.operations import LOCKING_STATES, OperationKind, OperationState
from domain.options import NETWORK_NONE, AskedOptions, ClusterOptions, check_node_subnet, check_options
from domain.overlays import DEFAULT_OVERLAY
from store.columns import now
from store.mapping import operation_view
from store.queries import any_cluster, find_cluster, node_network, open_operations, view_clusters
from store.tables import ClusterRow, HostRow, IdempotencyKeyRow, OperationRow
from store.views import Accepted, IdempotencyKey


@dataclass(frozen=True, slots=True)
class NewCluster:
    """What was asked for."""

    name: str
    type: ClusterType
    node_count: int
    retain: bool
    options: AskedOptions = field(default_factory=AskedOptions)


def accept_create(session: Session, tenant_id: str, wanted: NewCluster, idempotency: IdempotencyKey | None) -> Accepted:
    """Store a new cluster and its create, or find what was accepted for the same key before."""
    replayed = _replay(session, tenant_id, idempotency)
    if replayed is not None:
        return replayed
    check_name(wanted.name)
    check_node_count(wanted.node_count)
    taken = session.exec(
        select(ClusterRow).where(
            col(ClusterRow.tenant_id) == tenant_id,
            func.lower(col(ClusterRow.name)) == wanted.name.lower(),
            col(ClusterRow.status) != ClusterStatus.DELETED,
        )
    ).one_or_none()
    if taken is not None:
        # The same request may have been accepted between the two looks: then it is what has the name.
        replayed = _replay(session, tenant_id, idempotency)
        if replayed is not None:
            return replayed
        raise NameTaken(f"The cluster {taken.name!r} ({taken.id}, {taken.status}) has that name.", field="name")
    network = node_network(session)
    options = check_options(wanted.options, wanted.type.coe, network, session.exec(select(HostRow.name)).all())
    cluster = ClusterRow(
        id=str(uuid7()),
        tenant_id=tenant_id,
        name=wanted.name,
        type=asdict(wanted.type),
        options=asdict(options),
        node_count=wanted.node_count,
    )
    if wanted.options.node_subnet is not None:
        _take_subnet(session, cluster, wanted.options.node_subnet, network)
    session.add(cluster)
    session.flush()
    params: dict[str, object] = {
        "node_count": wanted.node_count,
        "retain": wanted.retain,
        "overlay": first_overlay(wanted.type, options),
    }
    operation = add_operation(session, cluster, OperationKind.CREATE, params)
    if idempotency is not None:
        session.add(
            IdempotencyKeyRow(
                tenant_id=tenant_id,
                key=idempotency.key,
                request_digest=idempotency.request_digest,
                operation_id=operation.id,
            )
        )
    return accepted(session, cluster, operation)


def first_overlay(cluster_type: ClusterType, options: ClusterOptions) -> str:
    """Return the name of the overlay network that a cluster begins with; an empty one is none."""
    return "" if cluster_type.coe == COE_KUBERNETES and options.network == NETWORK_NONE else DEFAULT_OVERLAY


def _take_subnet(session: Session, cluster: ClusterRow, wanted: str, network: str | None) -> None:
    """Hold the node subnet that was asked for. The unique index on slots tells if another is faster."""
    if network is None:
        raise Unavailable("No host has chosen its node network yet.", field="options.node_subnet")
    slot = check_node_subnet(wanted, network)
    holder = session.exec(select(ClusterRow).where(col(ClusterRow.slot) == slot)).one_or_none()
    if holder is not None:
        whose = f"of the cluster {holder.name!r}" if holder.tenant_id == cluster.tenant_id else "of another cluster"
        raise SubnetOverlaps(f"{wanted} is the node subnet {whose}.", field="options.node_subnet")
    cluster.slot = slot
    cluster.subnet = cluster_subnet(network, slot)


def accept_resize(session: Session, tenant_id: str, cluster_id: str, node_count: int) -> Accepted | None:
    """Store a grow or a shrink; None if the cluster has that many nodes."""
    check_node_count(node_count)
    cluster = find_idle_cluster(session, tenant_id, cluster_id, "resized")
    difference = node_count - cluster.node_count
    if difference == 0:
        return None
    set_status(cluster, ClusterStatus.RESIZING)
    if difference > 0:
        return accepted(session, cluster, add_operation(session, cluster, OperationKind.GROW, {"add": difference}))
    return accepted(session, cluster, add_operation(session, cluster, OperationKind.SHRINK, {"remove": -difference}))


def accept_delete(session: Session, tenant_id: str, cluster_id: str, *, force: bool) -> Accepted:
    """Store a delete, or find the one that is about it.

    With `force`, a change that is not a delete is marked as cancelling, one that is still pending too: its
    workflow may be starting this very moment, and then finds that it is not to begin.
    """
    cluster = find_cluster(session, cluster_id, tenant_id=tenant_id, lock=True)
    unfinished = open_operations(session, cluster_id)
    deleting = next((operation for operation in unfinished if operation.kind == OperationKind.DELETE), None)
    if deleting is not None:
        return accepted(session, cluster, deleting, replayed=True)
    locking = next((operation for operation in unfinished if operation.state in LOCKING_STATES), None)
    if locking is not None:
        if not force:
            raise busy(locking, remedy="Wait for the operation named to end, or delete with force=true to cancel it.")
        locking.state = OperationState.CANCELLING
        session.flush()  # before the insert: the unique index sees each statement by itself
    cancel = unfinished[0] if unfinished else None
    set_status(cluster, ClusterStatus.DELETING)
    cluster.error = None
    operation = add_operation(session, cluster, OperationKind.DELETE, {})
    return accepted(session, cluster, operation, cancel=cancel)


def find_idle_cluster(session: Session, tenant_id: str, cluster_id: str, change: str) -> ClusterRow:
    """Lock a cluster that can be changed now; raise `NotFound`, `ClusterBusy`, or `Conflict` if it is not active."""
    cluster = find_cluster(session, cluster_id, tenant_id=tenant_id, lock=True)
    for operation in open_operations(session, cluster_id):
        raise busy(operation)
    if cluster.status != ClusterStatus.ACTIVE:
        raise Conflict(
            f"The cluster {cluster.name!r} is {cluster.status}; only an active one can be {change}.",
            remedy="Look at the cluster's error; it can be deleted and created again.",
        )
    return cluster


def busy(operation: OperationRow, *, remedy: str | None = None) -> ClusterBusy:
    """Return the error that names the operation which is changing the cluster."""
    return ClusterBusy(
        f"The cluster {operation.cluster_name!r} is being changed by the operation {operation.id} "
        f"({operation.kind}, {operation.state}).",
        remedy=remedy,
    )


def set_status(cluster: ClusterRow, status: ClusterStatus) -> None:
    """Move a cluster to `status`; raise `Conflict` where that is no legal move."""
    check_move(ClusterStatus(cluster.status), status)
    cluster.status = status
    cluster.updated_at = now()


def add_operation(
    session: Session, cluster: ClusterRow, kind: OperationKind, params: dict[str, object]
) -> OperationRow:
    """Store a pending operation on a cluster. Its workflow id is what all changes to the cluster share."""
    operation = OperationRow(
        id=str(uuid7()),
        tenant_id=cluster.tenant_id,
        kind=kind,
        cluster_id=cluster.id,
        cluster_name=cluster.name,
        params=params,
        workflow_id=f"cluster-{cluster.id}",
    )
    session.add(operation)
    session.flush()
    return operation


def accepted(
    session: Session,
    cluster: ClusterRow,
    operation: OperationRow,
    *,
    replayed: bool = False,
    cancel: OperationRow | None = None,
) -> Accepted:
    """Return what is answered to who asked for a change."""
    return Accepted(
        operation=operation_view(operation),
        cluster=view_clusters(session, [cluster])[0],
        replayed=replayed,
        cancel=None if cancel is None else operation_view(cancel),
    )


def _replay(session: Session, tenant_id: str, idempotency: IdempotencyKey | None) -> Accepted | None:
    if idempotency is None:
        return None
    known = session.get(IdempotencyKeyRow, (tenant_id, idempotency.key))
    if known is None:
        return None
    if known.request_digest != idempotency.request_digest:
        raise KeyReused(f"The key {idempotency.key!r} came before with another request.")
    operation = session.get_one(OperationRow, known.operation_id)
    cluster = any_cluster(session, str(operation.cluster_id), tenant_id=tenant_id)
    return accepted(session, cluster, operation, replayed=True)
