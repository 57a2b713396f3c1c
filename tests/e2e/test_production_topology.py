"""Carina's parts as in production: PostgreSQL, a Temporal server, API and worker, each a process of its own.

The composition's own scripts in deploy/ prepare them; only containers are left out.
"""

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from installation import BIN, POLL_S, Installation, free_port, installed

ROOT = Path(__file__).parents[2]
API_USER = 8440
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
OUTLIVED = "--pdeathsig=KILL"  # none of the processes outlives a test run that is killed


@contextmanager
def process(installation: Installation, name: str, *command: str, user: int = 0, **env: str) -> Iterator[None]:
    """Run a command beside the test, ended with SIGTERM. The API's user may read the code wherever it lies."""
    become = [f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
    if user == API_USER:
        become += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    log = installation.directory / f"{name}.log"
    with log.open("ab") as sink:
        running = subprocess.Popen(
            ["setpriv", OUTLIVED, *become, *command],
            env={**installation.environment, **env},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            cwd="/",
        )
    try:
        yield
        assert running.poll() is None, f"{name} ended by itself: {log.read_text()[-2000:]}"
    finally:
        running.terminate()
        try:
            running.wait(STOP_TIMEOUT_S)
        finally:
            running.kill()
            running.wait()


def run(command: list[str], env: Mapping[str, str], *, user: int | None = None) -> None:
    done = subprocess.run(
        command, env=env, user=user, capture_output=True, text=True, check=False, timeout=START_TIMEOUT_S
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"


def succeeds(command: list[str], env: Mapping[str, str]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while (done := subprocess.run(command, env=env, capture_output=True, text=True, check=False)).returncode:
        assert time.monotonic() < deadline, f"{command[0]}: {done.stdout}{done.stderr}"
        time.sleep(POLL_S)


@contextmanager
def postgres(installation: Installation) -> Iterator[None]:
    """Run a server with Carina's role and database, on a socket, with passwords, as the composition's image does."""
    tools = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    passwords = installation.home / "passwords"
    folder = installation.directory / "postgres"
    folder.mkdir()
    for name in ("postgres", "carina-db", "temporal-db"):
        shutil.copy(passwords / name, folder)
    nobody = pwd.getpwnam("nobody").pw_uid  # the server refuses to be root
    for path in (folder, *folder.iterdir()):
        os.chown(path, nobody, -1)
    initialise = ["initdb", "--username=postgres", "--auth=scram-sha-256", f"--pwfile={folder}/postgres", "--no-sync"]
    run([f"{tools}/{initialise[0]}", *initialise[1:], f"{folder}/data"], installation.environment, user=nobody)
    server = [f"{tools}/postgres", f"-D{folder}/data", "-clisten_addresses=", f"-cunix_socket_directories={folder}"]
    admin = {
        **installation.environment,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PGHOST": str(folder),
        "PGPASSWORD": (passwords / "postgres").read_text(),
        "SECRETS": str(folder),
    }
    with process(installation, "postgres", *server, "-cfsync=off", user=nobody):
        succeeds([f"{tools}/pg_isready"], admin)
        run([str(ROOT / "deploy/postgres/roles.sh")], admin)
        yield


@contextmanager
def temporal(installation: Installation) -> Iterator[None]:
    """Run a Temporal server, and make Carina's namespace on it as the composition does."""
    host, port = installation.settings["CARINA_TEMPORAL_ADDRESS"].split(":")
    server = ["server", "start-dev", "--headless", f"--ip={host}", f"--port={port}", "--log-level=warn"]
    with process(installation, "temporal", str(BIN / "temporal"), *server):
        client = {
            **installation.environment,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "TEMPORAL_ADDRESS": f"{host}:{port}",
            "TEMPORAL_NAMESPACE": installation.settings["CARINA_TEMPORAL_NAMESPACE"],
        }
        for _ in range(2):  # it may be run again
            run([str(ROOT / "deploy/temporal/namespace.sh")], client)
        yield


@pytest.fixture
def production() -> Iterator[Installation]:
    """All parts, each a process of its own; the API is not root, and has a home of its own."""
    settings = {"CARINA_TEMPORAL_ADDRESS": f"127.0.0.1:{free_port()}", "CARINA_TEMPORAL_NAMESPACE": "carina"}
    with installed(**settings) as installation, ExitStack() as parts:
        home, database = installation.home, installation.directory / "postgres"
        url = f"postgresql://carina@/carina?host={database}&passfile="
        for _ in range(2):  # it may be run again
            run([str(ROOT / "deploy/prepare.sh")], installation.environment)
        parts.enter_context(postgres(installation))
        parts.enter_context(temporal(installation))
        worker = {"CARINA_DATABASE_URL": f"{url}{home}/pgpass"}
        api = {"CARINA_DATABASE_URL": f"{url}{home}/api/pgpass", "CARINA_HOME": f"{home}/api"}
        parts.enter_context(process(installation, "worker", str(BIN / "carinad"), "worker", **worker))
        parts.enter_context(process(installation, "api", str(BIN / "carinad"), "api", user=API_USER, **api))
        yield installation


async def test_a_cluster_lives_and_dies_with_every_part_a_process_of_its_own(production: Installation) -> None:
    await production.ready()
    cluster = await production.active("prod", 2)
    assert [node["state"] for node in production.nodes(cluster["id"])] == ["active", "active"]
    archive = production.call("GET", f"/clusters/{cluster['id']}/credentials/zip")
    assert archive.content.startswith(b"PK"), "the API opened what the worker sealed"
    assert not list(production.home.glob("*.db")), "rows and histories live elsewhere"
    await production.deleted(cluster["id"])
