"""Real workflows, activities, interceptor and store, on drivers that only remember."""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from hosts_of_bed import Handle, HostsOfBed
from sqlalchemy import Engine, text
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.common import SearchAttributeKey
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Interceptor, Worker
from troubles import Trouble, Troubled

from activities.ports import Archives, Fabric, Hosts, Images, Nodes, Orchestrator, Pki, Vault
from activities.progress import ProgressInterceptor
from activities.record_ports import Records
from api.starts import start_of
from domain.clusters import SWARM, ClusterStatus
from domain.hosts import Claim, Host, HostState
from domain.instance import Instance
from domain.operations import StepState
from drivers.fakes.fabric import FakeFabric
from drivers.fakes.hosts import FakeHosts
from drivers.fakes.images import DIGEST, FakeImages
from drivers.fakes.nodes import FakeNodes
from drivers.fakes.orchestrator import FakeOrchestrator
from drivers.pki import CertificatePki
from drivers.vault import FileVault
from store.archives import ArchiveFolder
from store.hosts import ensure_local_host
from store.outbox import Outbox
from store.records import StoreRecords
from store.repository import Repository
from store.tables import DEFAULT_TENANT
from store.views import Accepted, ClusterView, NodeView, OperationView, OverlayView, StepView
from worker.temporal_worker import make_worker
from worker.wiring import Drivers, activities_of
from workflows.names import SEARCH_ATTRIBUTES, SWEEP_ORPHANS, SweepOrphansInput

BINARIES = Path(sys.executable).parent
RUN_TIMEOUT_S = 60.0
INSTANCE = Instance("tst0")


async def start_real_server() -> WorkflowEnvironment:
    """Start the real Temporal server, with its state in memory."""
    options = [
        part
        for queue in ("transfer", "timer")
        for part in ("--dynamic-config-value", f"history.{queue}ProcessorMaxPollRPS=1000")
    ]
    return await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BINARIES / "temporal"),
        dev_server_extra_args=options,
        search_attributes=[SearchAttributeKey.for_keyword(name) for name in SEARCH_ATTRIBUTES],
    )


@dataclass
class Bed(HostsOfBed):
    """What a test of workflows works with: an instance with one host, whose outside world is in memory."""

    client: Client
    engine: Engine
    vault_key: Path
    queue: str = field(default_factory=lambda: f"carina-{uuid.uuid4().hex}")
    trouble: Trouble = field(default_factory=Trouble)
    nodes: FakeNodes = field(default_factory=FakeNodes)
    fabric: FakeFabric = field(default_factory=FakeFabric)
    hosts: FakeHosts = field(default_factory=lambda: FakeHosts(INSTANCE))
    images: FakeImages = field(default_factory=FakeImages)
    orchestrator: FakeOrchestrator = field(default_factory=FakeOrchestrator)
    started: list[Handle] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.records = StoreRecords(self.engine, INSTANCE)
        self.repository = Repository(self.engine, DEFAULT_TENANT)
        self.outbox = Outbox(self.engine)
        self.archives = ArchiveFolder(self.vault_key.parent / "images")

    # What stands in the worker's place

    def activities(self) -> Sequence[Callable[..., Any]]:
        """Return the real activities, behind which each driver and the store may have trouble."""

        def troubled(name: str, driver: object) -> Any:
            return Troubled(name, driver, self.trouble)

        drivers = Drivers(
            cast("Nodes", troubled("nodes", self.nodes)),
            cast("Fabric", troubled("fabric", self.fabric)),
            cast("Hosts", troubled("hosts", self.hosts)),
            cast("Images", troubled("images", self.images)),
            cast("Pki", troubled("pki", CertificatePki())),
            {"swarm": cast("Orchestrator", troubled("orchestrator", self.orchestrator))},
        )
        vault = cast("Vault", troubled("vault", FileVault(self.vault_key)))
        archives = cast("Archives", troubled("archives", self.archives))
        return activities_of(drivers, cast("Records", troubled("records", self.records)), vault, archives)

    def worker(self, *more: Interceptor) -> Worker:
        """Return a worker as the service makes it, on a queue of the test's own."""
        return make_worker(self.client, self.queue, self.activities(), [*more, ProgressInterceptor(self.records)])

    # What stands in the API's place

    def ready_host(self, *, uid_ranges: int = 64, capabilities: Sequence[str] = ()) -> Host:
        """Add the host, or change what it can do."""
        host = ensure_local_host(self.engine, root="/nowhere", name="metal")
        ready = replace(
            host,
            state=HostState.READY,
            claim=Claim("10.64.0.0/16", 1_000_000_000, uid_ranges),
            image=DIGEST,
            capabilities=frozenset(capabilities),
        )
        self.records.record_host(ready, None)
        return ready

    def accept_create(self, name: str = "demo", count: int = 1, *, retain: bool = False) -> Accepted:
        return self.repository.accept_create(
            name=name, cluster_type=SWARM, node_count=count, retain=retain, idempotency=None
        )

    def accept_resize(self, cluster_id: str, count: int) -> Accepted:
        accepted = self.repository.accept_resize(cluster_id, count)
        assert accepted is not None
        return accepted

    def accept_overlay(self, cluster_id: str, name: str = "extra", *, encrypted: bool = False) -> Accepted:
        accepted, _view = self.repository.accept_overlay(
            cluster_id, name=name, subnet=None, attachable=True, encrypted=encrypted
        )
        return accepted

    def accept_image(self, cluster: ClusterView, content: bytes = b"an archive") -> Accepted:
        """Keep an archive and accept it, as the API does."""
        with self.archives.incoming() as archive:
            archive.write(content)
            archive.finish()
            archive.keep(cluster.id)
        accepted, _view = self.repository.accept_image(
            cluster.id, digest=archive.digest, names=["web:1"], size_bytes=archive.size_bytes
        )
        return accepted

    async def start(self, operation: OperationView) -> Handle:
        """Start the operation's workflow with the names, inputs and ids that the API gives it."""
        start = start_of(operation)
        handle: Handle = await self.client.start_workflow(
            start.workflow, start.input, id=start.workflow_id, task_queue=self.queue, static_summary=start.summary
        )
        self.started.append(handle)
        return handle

    def this_run(self, handle: Handle) -> Handle:
        """Return a handle on this very run: a cluster's later runs have the same workflow id."""
        return self.client.get_workflow_handle(handle.id, run_id=handle.result_run_id)

    async def run(self, accepted: Accepted | OperationView) -> OperationView:
        """Run an operation to its end, whatever that is, and return it."""
        operation = accepted.operation if isinstance(accepted, Accepted) else accepted
        await self.end(await self.start(operation))
        return self.repository.operation(operation.id)

    async def end(self, handle: Handle) -> WorkflowExecutionStatus | None:
        """Wait for a workflow's end, and return how it ended."""
        with suppress(WorkflowFailureError):
            await asyncio.wait_for(handle.result(), RUN_TIMEOUT_S)
        return (await self.this_run(handle).describe()).status

    async def cancel_arrived(self, handle: Handle) -> None:
        """Wait until the workflow has seen all that it was sent: no task of it is waiting to be worked on."""
        async with asyncio.timeout(RUN_TIMEOUT_S):
            while (await handle.describe()).raw_description.HasField("pending_workflow_task"):  # noqa: ASYNC110 - the server tells by asking
                await asyncio.sleep(0.01)

    async def active(self, name: str = "demo", count: int = 1) -> ClusterView:
        """Create a cluster, and forget the calls that it took."""
        accepted = self.accept_create(name, count)
        await self.run(accepted)
        cluster = self.repository.cluster(accepted.cluster.id)
        assert cluster.status is ClusterStatus.ACTIVE, cluster.error
        self.trouble.calls.clear()
        return cluster

    async def sweep(self, grace_s: int = 0) -> list[str]:
        """Sweep, and return what is said of hosts that were left out."""
        handle: Handle = await self.client.start_workflow(
            SWEEP_ORPHANS, SweepOrphansInput(grace_s), id=f"sweep-{uuid.uuid4()}", task_queue=self.queue
        )
        self.started.append(handle)
        left_out: list[str] = await asyncio.wait_for(handle.result(), RUN_TIMEOUT_S)
        return left_out

    # What tests look at

    def cluster(self, cluster: ClusterView | Accepted) -> ClusterView:
        """Return the cluster as it now is."""
        return self.repository.cluster(cluster.cluster.id if isinstance(cluster, Accepted) else cluster.id)

    def node_views(self, cluster: ClusterView | Accepted) -> Sequence[NodeView]:
        return self.repository.nodes(self.cluster(cluster).id, limit=100, marker=None).items

    def overlay_views(self, cluster: ClusterView | Accepted) -> dict[str, OverlayView]:
        items = self.repository.overlays(self.cluster(cluster).id, limit=100, marker=None).items
        return {overlay.name: overlay for overlay in items}

    def names(self) -> list[str]:
        """Return the names of the nodes that have containers."""
        return sorted(plan.name for plan in self.nodes.plans.values())

    def members(self) -> set[str]:
        """Return the names of the members of the only cluster there is."""
        (names,) = self.orchestrator.clusters.values()
        return names

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(RUN_TIMEOUT_S):
            while not is_so():  # noqa: ASYNC110 - what is waited for is a driver's memory or a row
                await asyncio.sleep(0.01)

    def rows(self, table: str) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())  # noqa: S608

    def assert_nothing_left(self) -> None:
        """Check that no host has anything, and that nothing is reserved or secret in the store."""
        assert self.nodes.plans == {}
        assert self.nodes.running == set()
        assert self.fabric.segments == {}
        assert set().union(*self.fabric.publications.values()) == set()
        assert {table: self.rows(table) for table in ("nodes", "secrets", "overlays", "publications")} == {
            "nodes": 0,
            "secrets": 0,
            "overlays": 0,
            "publications": 0,
        }


def steps_named(operation: OperationView, name: str, node: str | None = None) -> list[StepView]:
    return [step for step in operation.steps if step.name == name and (node is None or step.node == node)]


def states(steps: Sequence[StepView]) -> list[StepState]:
    return [step.state for step in steps]


@asynccontextmanager
async def running(bed: Bed) -> AsyncIterator[Bed]:
    """Run a worker for the test; end what the test has left."""
    async with bed.worker():
        try:
            yield bed
        finally:
            bed.trouble.heal()
            for handle in bed.started:
                run = bed.this_run(handle)
                if (await run.describe()).status is WorkflowExecutionStatus.RUNNING:
                    await run.terminate("the test is over")


HEARTBEAT_THROTTLE = timedelta(milliseconds=20)
HEARTBEATS_PER_TIMEOUT = 100
GRACEFUL_SHUTDOWN = timedelta(milliseconds=200)
