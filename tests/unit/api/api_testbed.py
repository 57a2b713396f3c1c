"""The app on a real store, with a starter that only remembers, and the moves of a worker made by hand."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import Engine, text

from api.launcher import Launcher
from api.ports import AlreadyRunning, RunState
from api.waits import Waits
from domain.errors import Unavailable
from domain.host_input import fingerprint
from domain.hosts import CAP_ESP, Claim, Host, HostReport, HostState
from domain.instance import Instance
from store.hosts import ensure_local_host
from store.records import StoreRecords
from store.views import OperationView
from tests.unit.store_hosts import key_of

TOKEN = "a-token-of-the-tests"
TENANT = "admin"
MISSING = "01890a5d-ac96-774b-bcce-b302099a8057"
HEADERS = {
    "X-Auth-Token": TOKEN,
    "API-Version": "rax:container 1.0",
    "Accept": "application/json",
    "Content-Type": "application/json",
}
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIrYSSb1V4YPuaLwCmFVoB3Hp9+hcjOUBLxRDEOCd8t3"
FINGERPRINT = fingerprint(HOST_KEY)
TABLES = (
    "hosts",
    "publications",
    "clusters",
    "operations",
    "nodes",
    "overlays",
    "secrets",
    "idempotency_keys",
    "steps",
    "images",
)
KUBERNETES_VERSION = "1.35.4"


@dataclass
class FakeStarter:
    """Remembers what was started and cancelled; a test says what Temporal would."""

    started: list[OperationView] = field(default_factory=list)
    cancelled: list[OperationView] = field(default_factory=list)
    states: dict[str, RunState] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    failures: dict[str, Exception] = field(default_factory=dict)
    reachable: bool = True
    hangs: bool = False
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, operation: OperationView) -> None:
        await self._reach(operation)
        if operation.workflow_id in self.held:
            raise AlreadyRunning(operation.workflow_id)
        self.started.append(operation)

    async def cancel(self, operation: OperationView) -> None:
        await self._reach(operation)
        self.cancelled.append(operation)

    async def wait_closed(self, operation: OperationView) -> None:
        await self._reach(operation)
        await self.closed.wait()

    async def describe(self, operation: OperationView) -> RunState:
        await self._reach(operation)
        return self.states.get(operation.id, RunState.MISSING)

    async def _reach(self, operation: OperationView) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if not self.reachable:
            raise Unavailable("Temporal is not there.")
        if operation.id in self.failures:
            raise self.failures[operation.id]


@dataclass(frozen=True)
class FakeIssued:
    """What was issued."""

    files: Mapping[str, bytes]
    expires_at: datetime | None


@dataclass
class FakeCredentials:
    """Issues the same to all, and remembers for whom: cluster, person, lifetime."""

    issued: list[tuple[str, str, timedelta | None]] = field(default_factory=list)
    expires_at: datetime | None = None

    def issue(self, cluster_id: str, *, person: str, lifetime: timedelta | None) -> FakeIssued:
        self.issued.append((cluster_id, person, lifetime))
        files = {"key.pem": b"a key", "ca.pem": b"an authority", "docker.env": b"DOCKER_HOST=tcp://x:1\n"}
        return FakeIssued(files, self.expires_at)


@dataclass
class FakeReleases:
    """Has the releases that a test says."""

    there: set[tuple[str, str]]

    def has(self, coe: str, version: str) -> bool:
        return (coe, version) in self.there


@dataclass
class FakeHostProbes:
    """Presents one key at every machine, and finds on each what a test says; remembers where it looked."""

    looked_at: list[tuple[str, int]] = field(default_factory=list)
    previewed: list[Host] = field(default_factory=list)
    report: HostReport = field(default_factory=lambda: HostReport((), frozenset(), 1500, 2))
    changes: Sequence[str] = ()
    failure: Exception | None = None
    hangs: bool = False

    async def presented_key(self, address: str, port: int) -> tuple[str, str]:
        self.looked_at.append((address, port))
        await self._reach()
        return HOST_KEY, FINGERPRINT

    async def preview(self, host: Host) -> tuple[HostReport, Sequence[str]]:
        self.previewed.append(host)
        await self._reach()
        return self.report, self.changes

    async def _reach(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure


@dataclass
class Testbed:
    """What a test of the API works with."""

    __test__ = False

    http: httpx.AsyncClient
    app: FastAPI
    engine: Engine
    starter: FakeStarter
    launcher: Launcher
    records: StoreRecords
    credentials: FakeCredentials
    archives: Path
    releases: FakeReleases
    probes: FakeHostProbes

    @property
    def waits(self) -> Waits:
        waits = self.app.state.parts.waits
        assert isinstance(waits, Waits)
        return waits

    async def create(
        self, name: str = "demo", node_count: int = 1, *, type_id: int = 22, **headers: str
    ) -> dict[str, Any]:
        response = await self.http.post(
            "/clusters", json={"name": name, "cluster_type_id": type_id, "node_count": node_count}, headers=headers
        )
        assert response.status_code == 202, response.text
        return dict(response.json())

    async def active(self, name: str = "demo", node_count: int = 1, *, type_id: int = 22) -> dict[str, Any]:
        """Create a cluster and do to its rows what its workflow would."""
        cluster = await self.create(name, node_count, type_id=type_id)
        self.begin(cluster["operation_id"])
        self.records.reserve_nodes(cluster["operation_id"], node_count)
        self.records.complete_operation(cluster["operation_id"])
        return await self.get(f"/clusters/{cluster['id']}")

    async def add_host(self, name: str = "rack1", **fields: object) -> dict[str, Any]:
        """Add a host whose key is confirmed."""
        body = {"name": name, "address": f"{name}.example.org", "host_key": key_of(name), **fields}
        response = await self.http.post("/hosts", json=body)
        assert response.status_code == 202, response.text
        return dict(response.json())

    async def ready_host(self, name: str = "rack1", *, number: int = 1, **fields: object) -> dict[str, Any]:
        """Add a host and do to its rows what its preparation would."""
        added = await self.add_host(name, **fields)
        self.begin(added["operation_id"])
        host = self.records.host(added["id"])
        claim = Claim("10.64.0.0/16", 1_000_000_000, 64)
        report = replace(self.probes.report, address=f"192.0.2.{number}")
        ready = replace(host, state=HostState.READY, claim=claim, image="i", fabric_address=report.address)
        self.records.record_host(ready, report)
        self.records.complete_operation(added["operation_id"])
        return await self.get(f"/hosts/{added['id']}")

    def begin(self, operation_id: str) -> None:
        assert self.records.begin_operation(operation_id, workflow_id="cluster", run_id=f"run-of-{operation_id}")

    def complete(self, operation_id: str) -> None:
        """Do to the rows what a workflow that succeeds would."""
        self.begin(operation_id)
        self.records.complete_operation(operation_id)

    async def get(self, path: str) -> dict[str, Any]:
        response = await self.http.get(path)
        assert response.status_code == 200, response.text
        return dict(response.json())

    def rows(self) -> Mapping[str, list[Any]]:
        """Return everything that is stored, to see that nothing changed."""
        with self.engine.connect() as connection:
            return {table: list(connection.execute(text(f"SELECT * FROM {table}"))) for table in TABLES}  # noqa: S608


def add_host(engine: Engine, records: StoreRecords) -> None:
    """Add a host that takes nodes, encrypted overlays left out."""
    host = ensure_local_host(engine, root="/nowhere", name="machine")
    ready = replace(
        host,
        state=HostState.READY,
        claim=Claim("10.64.0.0/16", 1_000_000_000, 64),
        image="sha256-of-an-image",
        capabilities=frozenset(),
    )
    assert CAP_ESP not in ready.capabilities
    records.record_host(ready, None)


def instance() -> Instance:
    return Instance("tst1")


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """Return the one error of an answer after checking that it has the contract's shape."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"errors"}
    for error in body["errors"]:
        assert error["status"] == status
        assert error["request_id"] == response.headers["X-Request-Id"]
        assert isinstance(error["links"], list)
        assert all(isinstance(error[key], str) and error[key] for key in ("code", "title", "detail", "remedy"))
    assert len(body["errors"]) == 1, body
    return dict(body["errors"][0])
