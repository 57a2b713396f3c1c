"""The command against the real application and store, over a real connection; only Temporal is played."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
import uvicorn
from cli_testbed import Carina
from structlog.testing import capture_logs

from api.app import ApiDependencies, create_app
from api.ports import RunState
from api.probes import database_probe
from api.tokens import AdminToken, digest
from domain.errors import DockerSilent
from domain.hosts import Claim, Host, HostState
from domain.instance import Instance
from domain.operations import OperationKind
from store.archives import ArchiveFolder
from store.engine import make_engine
from store.hosts import ensure_local_host
from store.migrate import upgrade
from store.records import StoreRecords
from store.tables import DEFAULT_TENANT
from store.views import OperationView

TOKEN = "a-token-of-the-real-one"
BOUND = ("--timeout", "20")


@dataclass(frozen=True)
class Issued:
    """What everyone is issued."""

    files: Mapping[str, bytes]
    expires_at: None = None


@dataclass
class PlayedTemporal:
    """Does to the rows what the workflows would, at once."""

    records: StoreRecords
    silent_docker: bool = False
    takes_s: float = 0.0
    ended: float = 0.0

    def issue(self, cluster_id: str, *, person: str, lifetime: timedelta | None) -> Issued:
        files = {"ca.pem": b"ca", "cert.pem": b"c", "key.pem": b"k", "docker.env": b"DOCKER_HOST=tcp://x:1\n"}
        return Issued(files)

    def has(self, coe: str, version: str) -> bool:
        return True

    async def start(self, operation: OperationView) -> None:
        await asyncio.to_thread(self._run, operation)

    async def cancel(self, operation: OperationView) -> None:
        raise NotImplementedError

    async def wait_closed(self, operation: OperationView) -> None:
        raise NotImplementedError

    async def describe(self, operation: OperationView) -> RunState:
        return RunState.CLOSED

    def _run(self, operation: OperationView) -> None:
        records, cluster_id = self.records, str(operation.cluster_id)
        assert records.begin_operation(operation.id, workflow_id=operation.workflow_id, run_id=f"run-{operation.id}")
        match operation.kind:
            case OperationKind.CREATE | OperationKind.GROW:
                count = int(str(operation.params.get("node_count", operation.params.get("add"))))
                nodes = records.reserve_nodes(operation.id, count)
                for number, node in enumerate(nodes):
                    step = (operation.id, f"{number}")
                    records.step_started(*step, name="ensure_node", node=node.name, host=node.host, attempt=1)
                    records.step_ended(*step, attempt=1, error=None, note=None)
                if self.silent_docker:
                    records.release_nodes(cluster_id, [node.id for node in nodes])
                    records.fail_operation(operation.id, DockerSilent("demo-2 is silent.").record(), cancelled=False)
                    return
            case OperationKind.ADD_OVERLAY:
                records.mark_overlay(cluster_id, str(operation.params["overlay"]), verified=True)
            case OperationKind.REMOVE_OVERLAY:
                records.forget_overlay(cluster_id, str(operation.params["overlay"]))
            case OperationKind.DELETE:
                records.release_nodes(cluster_id, [facts.ref.id for facts in records.nodes(cluster_id)])
        time.sleep(self.takes_s)
        records.complete_operation(operation.id)
        self.ended = time.monotonic()


@pytest.fixture
def temporal(tmp_path: Path, carina: Carina, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedTemporal]:
    """Serve the application, and lead the command to it."""
    engine = make_engine(f"sqlite:///{tmp_path}/carina.db")
    upgrade(engine)
    records = StoreRecords(engine, Instance("tst1"))
    host = ensure_local_host(engine, root="/nowhere", name="machine")
    records.record_host(_ready(host), None)
    played = PlayedTemporal(records)
    parts = ApiDependencies(
        engine=engine,
        tokens=AdminToken(digest(TOKEN), DEFAULT_TENANT),
        starter=played,
        credentials=played,
        archives=ArchiveFolder(tmp_path / "images"),
        releases=played,
        probes={"database": database_probe(engine)},
    )
    server = uvicorn.Server(uvicorn.Config(create_app(parts), port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    monkeypatch.setenv("CARINA_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("CARINA_TOKEN", TOKEN)
    with capture_logs():  # the service's log would go to this process's stdout, which is the command's
        yield played
    server.should_exit = True
    thread.join()
    engine.dispose()


def _ready(host: Host) -> Host:
    claim = Claim("10.64.0.0/16", 1_000_000_000, 64)
    return replace(host, state=HostState.READY, claim=claim, image="sha256-of-an-image", capabilities=frozenset())


def test_the_life_of_a_cluster(temporal: PlayedTemporal, carina: Carina, home: Path) -> None:
    assert carina("status").code == 0
    made = carina("create", "Demo", "--nodes", "2", "-o", "json", *BOUND)
    assert made.code == 0, made.err
    cluster = json.loads(made.out)
    assert (cluster["status"], cluster["node_count"]) == ("active", 2)
    assert made.err.count("ok     Start the node") == 2
    assert carina("create", "demo").code == 4
    assert carina("create", "bad_name").code == 2
    assert carina("create", "x" * 200).code == 2
    assert len(json.loads(carina("nodes", "demo", "-o", "json").out)["nodes"]) == 2
    assert carina("grow", "demo", *BOUND).code == 0
    assert carina("resize", "demo", "--nodes", "3").out == "Demo has 3 nodes already\n"
    assert carina("overlays", "add", "demo", "web", *BOUND).code == 0
    assert carina("overlays", "add", "demo", "web").code == 4
    assert "web" in carina("overlays", "demo").out
    assert carina("overlays", "rm", "demo", "web", *BOUND).code == 0
    env = carina("env", "demo")
    assert "export DOCKER_HOST=tcp://x:1" in env.out, env.err
    assert (home / ".carina" / "clusters" / cluster["id"] / "key.pem").read_bytes() == b"k"
    assert carina("delete", "demo", "--yes", *BOUND).code == 0
    assert carina("get", "demo").code == 3
    assert carina("ls").out.splitlines()[1:] == []
    listed = json.loads(carina("operations", cluster["id"], "-o", "json").out)["operations"]
    kinds = [operation["kind"] for operation in listed]
    assert kinds == ["create", "grow", "add-overlay", "remove-overlay", "delete"]
    assert carina("operation", listed[0]["id"], "--wait").code == 0


def test_a_wait_costs_few_requests_and_sees_the_end_at_once(temporal: PlayedTemporal, carina: Carina) -> None:
    temporal.takes_s = 1.0
    with capture_logs() as logs:
        made = carina("create", "demo", "-o", "json", *BOUND)
    assert made.code == 0, made.err
    looks = [entry for entry in logs if str(entry.get("path", "")).startswith("/operations/")]
    assert 1 < len(looks) <= 5, looks
    assert time.monotonic() - temporal.ended < 0.5


def test_a_create_that_fails_tells_the_catalogue_s_error(temporal: PlayedTemporal, carina: Carina) -> None:
    temporal.silent_docker = True
    ran = carina("create", "demo", "--nodes", "2", *BOUND)
    assert ran.code == 1
    assert "The container engine of a node never answered (docker-silent)" in ran.err
    assert "demo-2 is silent." in ran.err
    assert "What to do:" in ran.err
    assert carina("credentials", "demo").code == 4
    assert carina("grow", "demo").code == 4
    assert carina("delete", "demo", "--yes", *BOUND).code == 0


def test_a_wrong_token_and_no_such_cluster(
    temporal: PlayedTemporal, carina: Carina, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert carina("get", "nothing").code == 3
    assert carina("operation", "0193b0a0-0000-7000-8000-0000000000ff").code == 3
    monkeypatch.setenv("CARINA_TOKEN", "wrong")
    assert carina("ls").code == 6
