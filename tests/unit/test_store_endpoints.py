"""Where the store says that clusters' native APIs are."""

import pytest
from sqlmodel import Session, col, select

from domain.clusters import SWARM, ClusterType
from domain.hosts import Endpoint
from store.tables import HostRow, NodeRow
from tests.unit.store_stages import KUBERNETES, StoreFixture


@pytest.mark.parametrize(
    ("kind", "endpoint"), [(SWARM, "tcp://192.0.2.1:20003"), (KUBERNETES, "https://192.0.2.1:20003")]
)
def test_a_cluster_on_a_host_that_publishes_is_at_the_managers_port(
    store: StoreFixture, kind: ClusterType, endpoint: str
) -> None:
    host = store.ready_host()
    cluster = store.active("demo", 2, cluster_type=kind)
    with Session(store.engine) as session:
        nodes = session.exec(
            select(NodeRow).where(col(NodeRow.cluster_id) == cluster.id).order_by(col(NodeRow.index))
        ).all()
        for port, node in zip((20003, 20004), nodes, strict=True):
            node.api_port = port
        row = session.exec(select(HostRow).where(col(HostRow.id) == host.id)).one()
        row.endpoint, row.fabric_address = Endpoint.PUBLISHED, "192.0.2.1"
        session.commit()
    assert store.repository.cluster(cluster.id).endpoint == endpoint
