"""An installation whose nodes are on the hosts of a rack, reached over SSH; the machine it runs on takes none."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import docker
import docker.tls
from credentials import credentials
from installation import BIN, Installation, Json, describe, installed, until

from tests.rack.host import RackHost
from tests.rack.racks import Rack, rack

PROBE_IMAGE = "carina/probe:1"
OVERLAY = "carina"
PREPARE_TIMEOUT_S = 400.0


@dataclass(frozen=True)
class Racked:
    """A running installation, and the rack of which its hosts are."""

    installation: Installation
    rack: Rack

    def add(self, hosts: Iterable[RackHost]) -> None:
        """Add hosts, all at the same time, as an operator does with a client each."""
        clients = [self._add(host) for host in hosts]
        for client, said in [(client, client.communicate(timeout=PREPARE_TIMEOUT_S)[0]) for client in clients]:
            assert client.returncode == 0, said

    def _add(self, host: RackHost) -> subprocess.Popen[str]:
        command = (
            str(BIN / "carina"),
            "host",
            "add",
            host.name,
            f"--address={host.address}",
            "--zone",
            f"row-{host.name}",
        )
        keys = (f"--identity={host.identity}", f"--host-key={host.host_key}")
        return subprocess.Popen(
            (*command, *keys),
            env=self.installation.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def host(self, name: str) -> Json:
        """Return a host as the API shows it."""
        [found] = self.installation.get(f"/hosts?name={name}")["hosts"]
        return dict(found)

    def machine(self, name: str) -> RackHost:
        """Return the machine that is the host of that name."""
        return next(host for host in self.rack if host.name == name)

    async def task(self, host: str, kind: str, *, force: bool = False) -> Json:
        """Have a task done on a host; return its operation, which has ended, however."""
        body = {"type": kind, "input": {"force": force} if force else {}}
        operation = self.installation.accepted("POST", f"/hosts/{self.host(host)['id']}/tasks", body)[1]
        return await self.installation.ended(operation, PREPARE_TIMEOUT_S)

    def in_node(self, node: Json, *command: str, check: bool = True, timeout_s: float = 60) -> str:
        """Run a command in a node, from its host."""
        home = f"/var/lib/carina/{self.installation.prefix}/pool/nodes"
        attach = 'exec lxc-attach -P "$1" -n "$2" --clear-env -v PATH=/usr/bin:/usr/sbin -- "${@:3}"'
        return self.machine(node["host"]).run(
            attach, home, node["container"], *command, check=check, timeout_s=timeout_s
        )

    async def assert_reach(self, cluster: Json) -> None:
        """From a container on each node, one on the next node is reached by its name over the cluster's network."""
        nodes = self.installation.nodes(cluster["id"])
        for number, node in enumerate(nodes):
            serve = f"echo web{number} > /index.html && exec httpd -f -p 80 -h /"
            self.run_web(node, f"web{number}", OVERLAY, serve)
        try:
            asked = [(node, f"web{(number + 1) % len(nodes)}") for number, node in enumerate(nodes)]
            await asyncio.gather(*(asyncio.to_thread(self._fetch, node, name) for node, name in asked))
        finally:
            for number, node in enumerate(nodes):
                self.in_node(node, "docker", "rm", "-f", f"web{number}")

    def run_web(self, node: Json, name: str, network: str, serve: str) -> None:
        """Start a web server on a node, in one of its Docker networks. It is started again when it ends."""
        options = ("-d", "--restart=always", f"--name={name}", f"--network={network}", "--stop-signal=KILL")
        self.in_node(node, "docker", "run", *options, PROBE_IMAGE, "sh", "-c", serve)

    def _fetch(self, node: Json, name: str) -> None:
        ask = f"until wget -q -T 1 -O - http://{name}/; do sleep 0.1; done"
        command = ("timeout", "30", "docker", "run", "--rm", "--network", OVERLAY, "--dns", "127.0.0.1", PROBE_IMAGE)
        assert self.in_node(node, *command, "sh", "-c", ask).strip() == name

    def spread(self, cluster: Json) -> list[str]:
        """Return the hosts of the cluster's nodes, in the nodes' order."""
        return [node["host"] for node in self.installation.nodes(cluster["id"])]

    def left_on(self, host: RackHost, cluster: str) -> list[str]:
        """Return what a host has of a cluster, or of any: containers, links but the host's own, API ports."""
        traces = host.traces()
        containers = [name for name in traces.get("container", []) if f"-{cluster}-" in name or name.startswith(".")]
        return containers + traces.get("link", [])


@contextmanager
def engine(racked: Racked, cluster: Json) -> Iterator[docker.DockerClient]:
    """Docker's own client, at the endpoint that the cluster has for people, with its credentials."""
    files = credentials(racked.installation, cluster["id"])
    keys = (str(files / "cert.pem"), str(files / "key.pem"))
    tls = docker.tls.TLSConfig(client_cert=keys, ca_cert=str(files / "ca.pem"), verify=True)
    client = docker.DockerClient(base_url=cluster["endpoint"], tls=tls, version="1.44", timeout=30)
    client.api.trust_env = False
    with contextlib.closing(client):
        yield client


async def ready_members(racked: Racked, cluster: Json, count: int, *, timeout_s: float = 90) -> None:
    """Return when the engine at the cluster's endpoint says that `count` nodes, and no others, are ready."""
    seen: list[str] = []

    def look() -> bool:
        try:
            with engine(racked, cluster) as client:
                seen[:] = sorted(node["Status"]["State"] for node in client.api.nodes())
        except (OSError, docker.errors.APIError):
            return False
        return seen == ["ready"] * count

    try:
        await until(look, timeout_s, f"{count} nodes are ready")
    except AssertionError as error:
        raise AssertionError(f"{error}; they are {seen}") from None


def failed(operation: Json) -> str:
    """Return why an operation failed; it has to have."""
    assert operation["state"] == "failed", describe(operation)
    return str(operation["error"]["detail"])


@contextlib.asynccontextmanager
async def racked(count: int, spare: int = 0) -> AsyncIterator[Racked]:
    """An installation that runs and has hosts of a rack, all but the `spare` last; its own machine is cordoned."""
    with rack(count + spare) as made, installed() as installation:
        await installation.up()
        installation.carina("host", "cordon", "local")
        both = Racked(installation, made)
        await asyncio.to_thread(both.add, made.hosts[:count])
        yield both
