"""Reads that several parts of the store share. With `lock`, a row stays as it is until the transaction ends.

Locks matter on PostgreSQL; on SQLite one writer at a time is alone anyway. All who lock take an operation's
cluster first, then the operation, then hosts: so they never wait for each other in a circle.
"""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from domain.clusters import ClusterStatus
from domain.errors import NotFound
from domain.nodes import NodeRole, NodeState
from domain.operations import LOCKING_STATES, OPEN_STATES
from store.mapping import cluster_view, node_endpoint
from store.tables import ClusterRow, HostRow, NodeRow, OperationRow
from store.views import ClusterView

_MEMBERS = (NodeState.ACTIVE, NodeState.REMOVING)


def find_cluster(session: Session, cluster_id: str, *, tenant_id: str | None = None, lock: bool = False) -> ClusterRow:
    """Return a cluster that is not deleted, of that tenant if one is given; raise `NotFound`."""
    row = any_cluster(session, cluster_id, tenant_id=tenant_id, lock=lock)
    if row.status == ClusterStatus.DELETED:
        raise NotFound(f"The cluster {cluster_id} was deleted.")
    return row


def any_cluster(session: Session, cluster_id: str, *, tenant_id: str | None = None, lock: bool = False) -> ClusterRow:
    """Return a cluster, a deleted one too, of that tenant if one is given; raise `NotFound`."""
    query = select(ClusterRow).where(col(ClusterRow.id) == cluster_id)
    if tenant_id is not None:
        query = query.where(col(ClusterRow.tenant_id) == tenant_id)
    if lock:
        query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    row = session.exec(query).one_or_none()
    if row is None:
        raise NotFound(f"There is no cluster {cluster_id}.")
    return row


def lock_operation(session: Session, operation_id: str) -> tuple[OperationRow, ClusterRow | None]:
    """Lock an operation, and before it the cluster that it changes; raise `NotFound`."""
    find = select(OperationRow).where(col(OperationRow.id) == operation_id)
    operation = session.exec(find).one_or_none()
    if operation is None:
        raise NotFound(f"There is no operation {operation_id}.")
    cluster = None
    if operation.cluster_id is not None:
        cluster = any_cluster(session, operation.cluster_id, lock=True)
    locked = session.exec(find.with_for_update(key_share=True).execution_options(populate_existing=True)).one()
    return locked, cluster


def find_host(session: Session, host_id: str, *, lock: bool = False) -> HostRow:
    """Return a host; raise `NotFound`."""
    query = select(HostRow).where(col(HostRow.id) == host_id)
    if lock:
        query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    row = session.exec(query).one_or_none()
    if row is None:
        raise NotFound(f"There is no host {host_id}.")
    return row


def node_network(session: Session) -> str | None:
    """Return the network that clusters take their subnets from, None until a host has claimed one."""
    claims = session.exec(select(HostRow.claim).order_by(col(HostRow.name))).all()
    return next((str(claim["network"]) for claim in claims if claim is not None), None)


def open_operations(session: Session, cluster_id: str) -> Sequence[OperationRow]:
    """Return the cluster's operations that have not ended, oldest first."""
    return session.exec(
        select(OperationRow)
        .where(col(OperationRow.cluster_id) == cluster_id, col(OperationRow.state).in_(OPEN_STATES))
        .order_by(col(OperationRow.id))
    ).all()


def nodes_of(session: Session, cluster_id: str) -> Sequence[NodeRow]:
    """Return the cluster's nodes by index: the manager first."""
    return session.exec(select(NodeRow).where(col(NodeRow.cluster_id) == cluster_id).order_by(col(NodeRow.index))).all()


def view_clusters(session: Session, rows: Sequence[ClusterRow]) -> list[ClusterView]:
    """Return the views of clusters, with what changes each now and where its native API is."""
    ids = [row.id for row in rows]
    found = session.exec(
        select(OperationRow.cluster_id, OperationRow.state, OperationRow.id)
        .where(col(OperationRow.cluster_id).in_(ids), col(OperationRow.state).in_(OPEN_STATES))
        .order_by(col(OperationRow.id))
    ).all()
    # One that is being cancelled counts only where no other has taken its place: the last one wins.
    by_weight = sorted(found, key=lambda item: item[1] in LOCKING_STATES)
    operations = {cluster_id: operation_id for cluster_id, _state, operation_id in by_weight}
    managers = {
        node.cluster_id: (node, host)
        for node, host in session.exec(
            select(NodeRow, HostRow)
            .join(HostRow, col(HostRow.id) == col(NodeRow.host_id))
            .where(
                col(NodeRow.cluster_id).in_(ids),
                col(NodeRow.role) == NodeRole.MANAGER,
                col(NodeRow.state).in_(_MEMBERS),
            )
        )
    }
    return [
        cluster_view(
            row,
            operation_id=operations.get(row.id),
            endpoint=node_endpoint(row.type["coe"], *managers[row.id]) if row.id in managers else None,
        )
        for row in rows
    ]
