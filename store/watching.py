"""What the watch over running clusters reads, and the heals that it has accepted. Of all owners."""

from collections.abc import Sequence

from sqlalchemy import func
from sqlmodel import Session, col, select

from domain.clusters import ClusterStatus
from domain.errors import NotFound
from domain.hosts import Host, HostState
from domain.instance import Instance
from domain.nodes import NodeState
from domain.operations import OPEN_STATES, OperationKind, OperationState
from domain.watch import HEALS_KEPT, PastHeal, WatchedCluster
from store.acceptance import add_operation
from store.facts import all_hosts, cluster_of_row, node_of_row
from store.mapping import conditions_from_json, error_from_json
from store.queries import any_cluster, open_operations
from store.tables import ClusterRow, NodeRow, OperationRow


def accept_heal(session: Session, cluster_id: str) -> str | None:
    """Store that a cluster's stopped nodes are to be started, and return the operation's id.

    None where the cluster is not active or not there any more, or something else is changing it.
    """
    try:
        cluster = any_cluster(session, cluster_id, lock=True)
    except NotFound:
        return None
    if cluster.status != ClusterStatus.ACTIVE or open_operations(session, cluster_id):
        return None
    return add_operation(session, cluster, OperationKind.HEAL, {}).id


def watched_clusters(session: Session, instance: Instance) -> list[WatchedCluster]:
    """Return the active clusters that nothing is being changed on, oldest first. Four queries, however many."""
    changing = select(OperationRow.cluster_id).where(
        col(OperationRow.cluster_id).is_not(None), col(OperationRow.state).in_(OPEN_STATES)
    )
    clusters = session.exec(
        select(ClusterRow)
        .where(col(ClusterRow.status) == ClusterStatus.ACTIVE, col(ClusterRow.id).not_in(changing))
        .order_by(col(ClusterRow.id))
    ).all()
    ids = [cluster.id for cluster in clusters]
    nodes = session.exec(
        select(NodeRow)
        .where(col(NodeRow.cluster_id).in_(ids), col(NodeRow.state) == NodeState.ACTIVE)
        .order_by(col(NodeRow.index))
    ).all()
    hosts = all_hosts(session)
    heals = _heals(session, ids)
    return [
        WatchedCluster(
            facts=cluster_of_row(instance, cluster),
            nodes=tuple(node_of_row(instance, cluster, node, hosts) for node in nodes if node.cluster_id == cluster.id),
            conditions=conditions_from_json(cluster.conditions),
            heals=tuple(_past(heal) for heal in heals if heal.cluster_id == cluster.id),
        )
        for cluster in clusters
    ]


def watched_hosts(session: Session) -> list[Host]:
    """Return the hosts that are ready and not being prepared, by name. One that is drained is among them."""
    preparing = set(
        session.exec(
            select(OperationRow.host_id).where(
                col(OperationRow.kind) == OperationKind.PREPARE_HOST, col(OperationRow.state).in_(OPEN_STATES)
            )
        ).all()
    )
    return [host for host in all_hosts(session).values() if host.state is HostState.READY and host.id not in preparing]


def _heals(session: Session, cluster_ids: Sequence[str]) -> Sequence[OperationRow]:
    """Return the newest heals of each cluster that have ended, newest first."""
    age = func.row_number().over(partition_by=col(OperationRow.cluster_id), order_by=col(OperationRow.id).desc())
    ended = (
        select(OperationRow.id, age.label("age"))
        .where(
            col(OperationRow.cluster_id).in_(cluster_ids),
            col(OperationRow.kind) == OperationKind.HEAL,
            col(OperationRow.state).not_in(OPEN_STATES),
        )
        .subquery()
    )
    return session.exec(
        select(OperationRow)
        .join(ended, ended.c.id == col(OperationRow.id))
        .where(ended.c.age <= HEALS_KEPT)
        .order_by(col(OperationRow.id).desc())
    ).all()


def _past(heal: OperationRow) -> PastHeal:
    if heal.ended_at is None:
        message = f"the heal {heal.id} is {heal.state} but has no end"
        raise ValueError(message)
    return PastHeal(OperationState(heal.state), heal.ended_at, error_from_json(heal.error))
