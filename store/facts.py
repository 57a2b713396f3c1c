"""What activities read: clusters' and nodes' records, joined with what their hosts say."""

from collections.abc import Mapping, Sequence

from sqlmodel import Session, col, select

from domain.allocation import gateway, uid_base
from domain.clusters import COE_KUBERNETES, ClusterStatus
from domain.errors import HostNotReady, NotFound
from domain.facts import ClusterFacts, NodeFacts
from domain.hosts import Host
from domain.instance import Instance
from domain.nodes import NodePlan, NodeRef, NodeRole, NodeState, Segment, Stamp
from store.mapping import host_from_row, options_from_json, type_from_json
from store.queries import any_cluster, find_cluster, nodes_of
from store.tables import ClusterRow, HostRow, NodeRow


def cluster_facts(session: Session, instance: Instance, cluster_id: str) -> ClusterFacts:
    """Return the facts of a cluster that is not deleted; raise `NotFound`."""
    return cluster_of_row(instance, find_cluster(session, cluster_id))


def nodes_facts(session: Session, instance: Instance, cluster_id: str) -> list[NodeFacts]:
    """Return the facts of a cluster's nodes, by index; a cluster that there never was has none."""
    rows = nodes_of(session, cluster_id)
    if not rows:
        return []
    cluster = any_cluster(session, cluster_id)
    hosts = _hosts_of(session, rows)
    return [node_of_row(instance, cluster, row, hosts) for row in rows]


def node_facts(session: Session, instance: Instance, node_id: str) -> NodeFacts:
    """Return the facts of a node, one that a deleted cluster left too; raise `NotFound`."""
    row = session.get(NodeRow, node_id)
    if row is None:
        raise NotFound(f"There is no node {node_id}.")
    return node_of_row(instance, any_cluster(session, row.cluster_id), row, _hosts_of(session, [row]))


def clusters_on_host(session: Session, instance: Instance, host_id: str) -> list[ClusterFacts]:
    """Return the facts of the clusters that have nodes on the host and are not deleted."""
    here = select(NodeRow.cluster_id).where(col(NodeRow.host_id) == host_id, col(NodeRow.state) != NodeState.LEFTOVER)
    rows = session.exec(
        select(ClusterRow)
        .where(col(ClusterRow.id).in_(here), col(ClusterRow.status) != ClusterStatus.DELETED)
        .order_by(col(ClusterRow.id))
    )
    return [cluster_of_row(instance, row) for row in rows]


def all_hosts(session: Session) -> Mapping[str, Host]:
    """Return all hosts by id."""
    return {row.id: host_from_row(row) for row in session.exec(select(HostRow).order_by(col(HostRow.name)))}


def _hosts_of(session: Session, nodes: Sequence[NodeRow]) -> Mapping[str, Host]:
    """Return the hosts of nodes by id. A fleet has many more, and steps read this all the time."""
    ids = {node.host_id for node in nodes}
    return {row.id: host_from_row(row) for row in session.exec(select(HostRow).where(col(HostRow.id).in_(ids)))}


def cluster_of_row(instance: Instance, row: ClusterRow) -> ClusterFacts:
    """Return the facts of the cluster that a row describes."""
    segment = _segment(instance, row)
    return ClusterFacts(row.id, row.name, type_from_json(row.type), segment, options_from_json(row.options))


def _segment(instance: Instance, row: ClusterRow) -> Segment | None:
    if row.slot is None or row.subnet is None or row.segment_mtu is None:
        return None
    pods = options_from_json(row.options).pod_subnet if row.type["coe"] == COE_KUBERNETES else ""
    return Segment(row.id, instance.bridge(row.slot), row.subnet, gateway(row.subnet), row.segment_mtu, pods)


def node_of_row(instance: Instance, cluster: ClusterRow, row: NodeRow, hosts: Mapping[str, Host]) -> NodeFacts:
    """Return the facts of the node that a row describes; raise `HostNotReady` if its host has lost its claim."""
    host = hosts[row.host_id]
    segment = _segment(instance, cluster)
    if host.claim is None or cluster.slot is None or segment is None:
        raise HostNotReady(f"The node {row.name} has no network or uids on the host {host.name}: its claim is gone.")
    role = NodeRole(row.role)
    plan = NodePlan(
        host=host,
        name=row.name,
        container=row.container,
        role=role,
        address=row.address,
        uid_base=uid_base(host.claim, row.uid_slot),
        veth=instance.veth(cluster.slot, row.index),
        segment=segment,
        stamp=Stamp(instance.prefix, cluster.id, row.id, row.image),
        image=row.image,
        size=type_from_json(cluster.type).size,
    )
    return NodeFacts(NodeRef(row.id, row.name, role, host.name), plan, row.state, row.api_port)
