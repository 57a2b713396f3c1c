"""The command against the real application and store, over a real connection; only Temporal is played."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
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
from carina_cli.host_keys import fingerprint
from domain.errors import DockerSilent, HostUnreachable
from domain.hosts import Check, CheckState, Claim, Host, HostReport, HostState
from domain.instance import Instance
from domain.operations import OperationKind
from domain.sizes import Size
from store.archives import ArchiveFolder
from store.engine import make_engine
from store.hosts import ensure_local_host
from store.migrate import upgrade
from store.records import StoreRecords
from store.tables import DEFAULT_TENANT
from store.views import OperationView

TOKEN = "a-token-of-the-real-one"
ADDRESS = "192.0.2.7"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43
REPORT = HostReport(
    [Check("kernel", CheckState.OK, "6.12"), Check("ipvs", CheckState.DEGRADED, "absent", "VIPs hang.", "Load ip_vs.")],
    frozenset({"vxlan"}),
    mtu=1500,
    cgroup_version=2,
    total=Size(8.0, 2**34, 2**40),
    free=Size(7.0, 2**33, 2**39),
    address=ADDRESS,
)
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

    async def presented_key(self, address: str, port: int) -> tuple[str, str]:
        if address != ADDRESS:
            raise HostUnreachable(f"{address} port {port}: it did not answer.")
        return HOST_KEY, fingerprint(HOST_KEY)

    async def preview(self, host: Host) -> tuple[HostReport, Sequence[str]]:
        return REPORT, [f"make {host.root}"]

    def _run(self, operation: OperationView) -> None:
        records, cluster_id = self.records, str(operation.cluster_id)
        assert records.begin_operation(operation.id, workflow_id=operation.workflow_id, run_id=f"run-{operation.id}")
        match operation.kind:
            case OperationKind.PREPARE_HOST:
                records.record_host(_ready(records.host(str(operation.host_id))), REPORT)
            case OperationKind.REMOVE_HOST:
                records.forget_host(str(operation.host_id))
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
        host_probes=played,
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


def test_the_life_of_a_host_and_of_a_published_port(temporal: PlayedTemporal, carina: Carina) -> None:
    add = ("host", "add", "Rack1", "--address", ADDRESS, "--zone", "row-a")
    unconfirmed = carina(*add, "--dry-run", "--host-key", fingerprint(HOST_KEY)[:-1] + "x")
    assert unconfirmed.code == 4
    assert fingerprint(HOST_KEY) in unconfirmed.err
    assert "make /var/lib/carina-host" in carina(*add, "--dry-run", "--yes").out
    assert carina("host", "add", "rack9", "--address", "192.0.2.9", "--yes").code == 1
    made = carina(*add, "--host-key", fingerprint(HOST_KEY), *BOUND)
    assert made.code == 0, made.err
    assert "Rack1 is ready: 8 CPUs, 16.0 GiB memory, 1.0 TiB disk, 0 of 64 nodes" in made.out
    assert carina(*add, "--yes").code == 4
    assert [line.split()[0] for line in carina("host", "ls").out.splitlines()] == ["NAME", "machine", "Rack1"]
    assert fingerprint(HOST_KEY) in carina("host", "get", "rack1").out
    assert "It means: VIPs hang." in carina("host", "doctor", "rack1").out
    assert carina("host", "prepare", "rack1", *BOUND).code == 0

    assert json.loads(carina("host", "cordon", "machine", "-o", "json").out)["cordoned"] is True
    created = carina("create", "demo", "--nodes", "2", *BOUND)
    assert created.code == 0, created.err
    assert carina("host", "uncordon", "machine").code == 0
    assert [line.split()[1] for line in carina("host", "nodes", "rack1").out.splitlines()] == [
        "CLUSTER",
        "demo",
        "demo",
    ]
    assert f"tcp://{ADDRESS}:20000" in created.out
    assert "Rack1 (2)" in carina("get", "demo").out

    published = carina("publish", "demo", "80:30080", *BOUND)
    assert f"80/tcp leads to demo, port 30080: {ADDRESS}:80" in published.out, published.err
    assert carina("publish", "demo", "80:30081").code == 4
    assert carina("publish", "demo", "22:22").code == 2
    assert carina("publications", "demo").out.splitlines()[1].split()[:3] == ["80/tcp", "30080", f"{ADDRESS}:80"]
    assert carina("unpublish", "demo", "80", *BOUND).code == 0
    assert carina("unpublish", "demo", "80").code == 3

    assert carina("host", "remove", "rack1").code == 4
    assert carina("delete", "demo", "--yes", *BOUND).code == 0
    removed = carina("host", "remove", "rack1", *BOUND)
    assert removed.out.startswith("Rack1 is removed"), removed.err
    assert carina("host", "get", "rack1").code == 3


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
