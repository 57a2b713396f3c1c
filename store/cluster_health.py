"""What is said of clusters that have come to new hosts, and the health that follows from what is said."""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from domain.clusters import Condition
from domain.conditions import after_limits, health_of, keep_since, of_hosts
from domain.nodes import NodeState
from store.columns import now
from store.mapping import conditions_from_json, conditions_to_json, host_from_row
from store.tables import ClusterRow, HostRow, NodeRow


def say(cluster: ClusterRow, conditions: Sequence[Condition]) -> None:
    """Replace the cluster's conditions, and the health that follows from them, if they are news."""
    stored, health = conditions_to_json(conditions), health_of(conditions)
    if (cluster.conditions, cluster.health) != (stored, health):
        cluster.conditions = stored
        cluster.health = health
        cluster.updated_at = now()


def say_limits(session: Session, cluster: ClusterRow) -> None:
    """Say of the cluster what doesn't work on the hosts of its active nodes, in place of what was said of that."""
    on_hosts = select(NodeRow.host_id).where(
        col(NodeRow.cluster_id) == cluster.id, col(NodeRow.state) == NodeState.ACTIVE
    )
    rows = session.exec(select(HostRow).where(col(HostRow.id).in_(on_hosts)).order_by(col(HostRow.name)))
    before = conditions_from_json(cluster.conditions)
    limits = of_hosts(cluster.type["coe"], [host_from_row(row) for row in rows], now())
    say(cluster, keep_since([*after_limits(before), *limits], before))
