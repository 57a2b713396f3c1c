"""A store for tests, with short ways to the states that they begin from."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sqlalchemy import Engine
from sqlmodel import Session

from domain.clusters import SWARM, ClusterType, kubernetes_type
from domain.errors import CarinaError
from domain.hosts import Claim, Endpoint, Host, HostReport, HostState
from domain.nodes import NodeRef
from domain.options import AskedOptions
from store.hosts import ensure_local_host
from store.outbox import Outbox
from store.records import StoreRecords
from store.repository import Repository
from store.tables import HostRow
from store.views import Accepted, ClusterView

KUBERNETES = kubernetes_type(20, "1.35.4")
Result = TypeVar("Result")


@dataclass(frozen=True)
class StoreFixture:
    """A store with its faces, and short ways to the states that tests begin from."""

    engine: Engine
    repository: Repository
    records: StoreRecords
    outbox: Outbox

    def ready_host(self, *, uid_ranges: int = 64, mtu: int = 1500, capabilities: Sequence[str] = ()) -> Host:
        host = ensure_local_host(self.engine, root="/var/lib/carina/host", name="metal")
        ready = replace(
            host,
            state=HostState.READY,
            claim=Claim("10.64.0.0/16", 1_000_000_000, uid_ranges),
            mtu=mtu,
            image="sha256:abc",
            capabilities=frozenset(capabilities),
        )
        self.records.record_host(ready, None)
        return ready

    def rack(self, number: int, *, report: HostReport | None = None, **has: object) -> Host:
        """Add a ready host, as one that an operator added over SSH and that was prepared and measured."""
        base = Host(
            f"rack-{number}",
            f"rack{number}",
            f"192.0.2.{number}",
            "/var/lib/carina/host",
            HostState.READY,
            Claim("10.64.0.0/16", 1_000_000_000, 64),
            endpoint=Endpoint.PUBLISHED,
            fabric_address=f"192.0.2.{number}",
        )
        host = replace(base, **has)  # type: ignore[arg-type]
        row = HostRow(
            id=host.id,
            name=host.name,
            address=host.address,
            root=host.root,
            mtu=host.mtu,
            zone=host.zone,
            cordoned=host.cordoned,
            endpoint=host.endpoint,
        )
        with Session(self.engine) as session:
            session.add(row)
            session.commit()
        self.records.record_host(host, report)
        return host

    def create(
        self,
        name: str = "demo",
        node_count: int = 3,
        *,
        retain: bool = False,
        cluster_type: ClusterType = SWARM,
        options: AskedOptions | None = None,
    ) -> Accepted:
        return self.repository.accept_create(
            name=name,
            cluster_type=cluster_type,
            node_count=node_count,
            retain=retain,
            idempotency=None,
            options=options,
        )

    def begin(self, accepted: Accepted) -> str:
        operation = accepted.operation
        run_id = f"run-{operation.id}"
        assert self.records.begin_operation(operation.id, workflow_id=operation.workflow_id, run_id=run_id)
        return operation.id

    def reserved(
        self,
        name: str = "demo",
        node_count: int = 3,
        *,
        cluster_type: ClusterType = SWARM,
        options: AskedOptions | None = None,
    ) -> tuple[Accepted, Sequence[NodeRef]]:
        accepted = self.create(name, node_count, cluster_type=cluster_type, options=options)
        return accepted, self.records.reserve_nodes(self.begin(accepted), node_count)

    def active(
        self,
        name: str = "demo",
        node_count: int = 3,
        *,
        cluster_type: ClusterType = SWARM,
        options: AskedOptions | None = None,
    ) -> ClusterView:
        accepted, _nodes = self.reserved(name, node_count, cluster_type=cluster_type, options=options)
        self.records.complete_operation(accepted.operation.id)
        return self.repository.cluster(accepted.cluster.id)


def at_once(work: Sequence[Callable[[], Result]]) -> list[Result | CarinaError]:
    """Start all of `work` at the same moment, and return what each returned or which domain error it raised."""
    barrier = threading.Barrier(len(work))
    results: dict[int, Result | CarinaError] = {}
    crashes: list[BaseException] = []

    def run(number: int) -> None:
        barrier.wait()
        try:
            results[number] = work[number]()
        except CarinaError as error:
            results[number] = error
        except BaseException as error:  # noqa: BLE001 - shown below
            crashes.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert crashes == []
    return [results[number] for number in range(len(work))]
