"""An installation of Carina of a test's own: real processes, a home under /var/tmp, driven as a user drives it.

Each has its own prefix, ports and pool, so it meets no other. All of it goes at the end; what a killed test run left
behind (its lock is free) goes at the start of the next one.
"""

import asyncio
import fcntl
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from domain.clusters import COE_KUBERNETES, COE_SWARM, DEFAULT_KUBERNETES, SWARM
from drivers.images import CACHE_DIR
from drivers.release_sources import ensure_release
from drivers.releases import Releases
from tests.rack.racks import Rack

TMP = Path("/var/tmp")
NAME = "carina-e2e-"
LOCK = "carina-e2e.lock"
BIN = Path(sys.executable).parent
POOL_BYTES = 8 * 2**30  # sparse
UID_RANGES = 32
START_TIMEOUT_S = 90.0
OPERATION_TIMEOUT_S = 180.0
POLL_S = 0.05
ENDED = ("succeeded", "failed", "cancelled")
[(KUBERNETES_ID, KUBERNETES_VERSION)] = DEFAULT_KUBERNETES.items()
TYPES = {COE_SWARM: SWARM.id, COE_KUBERNETES: KUBERNETES_ID}

Json = dict[str, Any]


class Installation:
    """One instance of Carina. `directory` holds all that it and its user have on this machine's disk."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.faults = directory / "faults"
        self.rack: Rack | None = None  # machines that are hosts beside this one
        self.user_home = directory / "user"
        self.listen = f"127.0.0.1:{free_port()}"
        self.prefix = "e" + directory.name[-3:]
        self.settings = {
            "CARINA_HOME": str(self.home),
            "CARINA_LISTEN": self.listen,
            "CARINA_ENDPOINT": f"http://{self.listen}",
            "CARINA_PREFIX": self.prefix,
            "CARINA_POOL_BYTES": str(POOL_BYTES),
            "CARINA_UID_RANGES": str(UID_RANGES),
            "CARINA_SWEEP_GRACE_S": "3",
            "HOME": str(self.user_home),
            **settings,
        }
        for path in (self.faults, self.user_home):
            path.mkdir(exist_ok=True)
        self._http = httpx.Client(base_url=f"http://{self.listen}", timeout=10, trust_env=False)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the instance's processes, and of its user's."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CARINA_", "DOCKER_"))}
        return {**inherited, "SHELL": "/bin/bash", **self.settings}

    @property
    def token(self) -> str:
        return (self.home / "admin-token").read_text().strip()

    @property
    def nodes_dir(self) -> Path:
        """The lxcpath of the instance on this machine."""
        return self.home / "host" / "pool" / "nodes"

    def run(self, *command: str, check: bool = True, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the instance's environment, with `settings` on top, to its end."""
        done = subprocess.run(
            command,
            env={**self.environment, **settings},
            capture_output=True,
            text=True,
            check=False,
            timeout=OPERATION_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def carinad(self, *arguments: str, **settings: str) -> str:
        """Run the operator's command."""
        return self.run(str(BIN / "carinad"), *arguments, **settings).stdout

    def carina(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the user's command."""
        return self.run(str(BIN / "carina"), *arguments, check=check)

    async def up(self, **settings: str) -> None:
        """Start the service in the background as an operator does, and return when it is ready for clusters."""
        await asyncio.to_thread(self.carinad, "up", "--background", **settings)
        await self.ready()

    async def ready(self, look_after: Callable[[], None] | None = None) -> None:
        """Return when the service says that it is ready. `look_after` is called between looks."""

        def is_ready() -> bool:
            try:
                return self._http.get("/readyz").status_code == httpx.codes.OK
            except httpx.TransportError:
                return False

        await until(is_ready, START_TIMEOUT_S, f"{self.listen} is ready", look_after=look_after)

    def call(self, method: str, path: str, *, headers: dict[str, str] | None = None, **kwargs: Any) -> httpx.Response:
        """Send one request to the API with the administrator's token."""
        return self._http.request(method, path, headers={"X-Auth-Token": self.token, **(headers or {})}, **kwargs)

    def get(self, path: str) -> Json:
        response = self.call("GET", path)
        assert response.status_code == httpx.codes.OK, response.text
        body: Json = response.json()
        return body

    def accepted(self, method: str, path: str, body: Json | None = None) -> tuple[Json, str]:
        """Send a change that has to be accepted; return the cluster, and the id of its operation."""
        response = self.call(method, path, json=body)
        assert response.status_code == httpx.codes.ACCEPTED, response.text
        return response.json(), response.headers["Location"].rpartition("/")[2]

    def create(
        self, name: str, nodes: int, *, kind: str = COE_SWARM, query: str = "", **options: Any
    ) -> tuple[Json, str]:
        """Ask for a cluster of that kind, with what it takes to make it there; return it, and its operation's id."""
        if kind == COE_KUBERNETES:
            self.add_release()
        body = {"name": name, "cluster_type_id": TYPES[kind], "node_count": nodes}
        return self.accepted("POST", f"/clusters{query}", body | ({"options": options} if options else {}))

    def add_release(self) -> None:
        """Have the release that Kubernetes clusters are made of, from what the machine built before."""
        ensure_release(Releases(self.home / "releases"), KUBERNETES_VERSION, Path(CACHE_DIR))

    def resize(self, cluster_id: str, nodes: int) -> str:
        body = {"type": "resize", "input": {"node_count": nodes}}
        return self.accepted("POST", f"/clusters/{cluster_id}/tasks", body)[1]

    def delete(self, cluster_id: str, *, query: str = "") -> str:
        return self.accepted("DELETE", f"/clusters/{cluster_id}{query}")[1]

    async def active(self, name: str, nodes: int, *, kind: str = COE_SWARM, **options: Any) -> Json:
        """Create a cluster, and return it when it is active."""
        cluster, operation = self.create(name, nodes, kind=kind, **options)
        await self.succeeded(operation)
        return self.cluster(cluster["id"])

    async def ended(
        self, operation_id: str, timeout_s: float = OPERATION_TIMEOUT_S, look_after: Callable[[], None] | None = None
    ) -> Json:
        """Return the operation once it has ended, however. A service that is away now and then is waited for."""
        found: Json = {}

        def has_ended() -> bool:
            try:
                response = self.call("GET", f"/operations/{operation_id}")
            except httpx.TransportError:
                return False
            if response.status_code == httpx.codes.OK:
                found.update(response.json())
            return found.get("state") in ENDED

        try:
            await until(has_ended, timeout_s, f"operation {operation_id} ends", look_after=look_after)
        except AssertionError as error:
            raise AssertionError(f"{error}: {describe(found)}") from None
        return found

    async def succeeded(
        self, operation_id: str, timeout_s: float = OPERATION_TIMEOUT_S, look_after: Callable[[], None] | None = None
    ) -> Json:
        operation = await self.ended(operation_id, timeout_s, look_after)
        assert operation["state"] == "succeeded", describe(operation)
        return operation

    async def deleted(self, cluster_id: str) -> None:
        """Delete a cluster and wait until it is gone."""
        await self.succeeded(self.delete(cluster_id))
        assert self.call("GET", f"/clusters/{cluster_id}").status_code == httpx.codes.NOT_FOUND

    def cluster(self, cluster_id: str) -> Json:
        return self.get(f"/clusters/{cluster_id}")

    def nodes(self, cluster_id: str) -> list[Json]:
        found: list[Json] = self.get(f"/clusters/{cluster_id}/nodes")["nodes"]
        return found

    def service_pid(self) -> int:
        return int((self.home / "carinad.pid").read_text())

    def close(self) -> None:
        """Take all of it off the machine."""
        self._http.close()
        take_away(self.directory)


@contextmanager
def installed(**settings: str) -> Iterator[Installation]:
    """A place for an installation, which is taken away at the end, whatever state it is in. Nothing runs yet."""
    assert os.geteuid() == 0, "tests of the whole product need root"
    with (TMP / LOCK).open("a") as others:  # a directory that nobody has locked yet is no leftover
        fcntl.flock(others, fcntl.LOCK_EX)
        sweep_killed_runs()
        directory = new_directory(NAME)
        lock = (directory / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    with lock:
        installation = Installation(directory, **settings)
        try:
            yield installation
        finally:
            installation.close()


def new_directory(name: str) -> Path:
    """Make a directory for an installation whose prefix, the end of its name, no other one has."""
    while True:
        token = secrets.token_hex(4)
        if not list(TMP.glob(f"carina-*{token[-3:]}")):
            directory = TMP / f"{name}{token}"
            directory.mkdir(mode=0o711)
            return directory


def sweep_killed_runs() -> None:
    """Take away what test runs left that ended without doing so: their locks are free."""
    for directory in TMP.glob(f"{NAME}*"):
        with (directory / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            take_away(directory)


def take_away(directory: Path) -> None:
    """Take an installation down and remove its directory. Nothing there is no error."""
    if not directory.exists():
        return
    home = directory / "home"
    if home.exists():
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CARINA_")}
        done = subprocess.run(
            [BIN / "carinad", "down", "--purge", "--force", f"--home={home}"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"taking {home} down: {done.stdout}{done.stderr}"
    shutil.rmtree(directory)


async def until(
    condition: Callable[[], bool], timeout_s: float, what: str, *, look_after: Callable[[], None] | None = None
) -> None:
    """Poll until `condition` holds; fail, saying `what` did not come about, after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if look_after is not None:
            look_after()
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        await asyncio.sleep(POLL_S)


def describe(operation: Json) -> str:
    """An operation in short, for a failed assertion."""
    steps: Sequence[Json] = operation.get("steps", ())
    lines = [f"{s['name']} {s['node'] or ''} #{s['attempt']} {s['state']} {s['error'] or ''}" for s in steps[-25:]]
    return "\n".join([f"{operation.get('kind')} is {operation.get('state')}: {operation.get('error')}", *lines])


def free_port() -> int:
    """Return a port that nothing listens on, and that the kernel gives nobody who asks for any."""
    first_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = secrets.choice(range(first_given // 2, first_given))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
