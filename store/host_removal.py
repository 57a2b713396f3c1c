"""Hosts that go for good: what is dropped with them, and what that means for clusters."""

from sqlalchemy import delete, update
from sqlmodel import Session, col

from domain.clusters import ClusterStatus, Health
from domain.errors import ManagerLost, StepFailed
from domain.nodes import NodeRole, NodeState
from store.acceptance import set_status
from store.cluster_networks import free_network
from store.mapping import error_to_json
from store.moves import cluster_ids_on
from store.queries import any_cluster, nodes_of, open_operations
from store.reservations import count_nodes
from store.tables import ClusterRow, HostRow, NodeRow, OperationRow, OrphanRow


def forget_host(session: Session, host_id: str) -> list[str]:
    """Drop a host, and all that is reserved on it. See the port.

    Operations on it stay, with its name. Nodes that were there are none any more: a cluster counts the others.
    """
    clusters = [any_cluster(session, cluster_id, lock=True) for cluster_id in cluster_ids_on(session, host_id)]
    host = session.get(HostRow, host_id, with_for_update=True)
    if host is None:
        return []
    for cluster in clusters:
        for operation in open_operations(session, cluster.id):
            raise StepFailed(
                f"The cluster {cluster.name!r}, which has nodes on {host.name}, is being changed by the operation "
                f"{operation.id} ({operation.kind}): the host is removed once that has ended."
            )
    for cluster in clusters:
        _take_off(session, cluster, host)
    session.exec(delete(OrphanRow).where(col(OrphanRow.host_id) == host_id))
    session.exec(update(OperationRow).where(col(OperationRow.host_id) == host_id).values(host_id=None))
    session.delete(host)
    session.flush()
    return [cluster.id for cluster in clusters if cluster.status != ClusterStatus.DELETED]


def _take_off(session: Session, cluster: ClusterRow, host: HostRow) -> None:
    lost: list[NodeRow] = [node for node in nodes_of(session, cluster.id) if node.host_id == host.id]
    managers = [node for node in lost if node.role == NodeRole.MANAGER and node.state == NodeState.ACTIVE]
    if managers and cluster.status == ClusterStatus.ACTIVE:
        set_status(cluster, ClusterStatus.ERROR)
        cluster.health = Health.UNKNOWN
        cluster.conditions = []
        error = ManagerLost(f"{managers[0].name} managed it, on the host {host.name}, which was removed for good.")
        cluster.error = error_to_json(error.record())
    for node in lost:
        session.delete(node)
    session.flush()
    count_nodes(session, cluster)
    free_network(session, cluster)
