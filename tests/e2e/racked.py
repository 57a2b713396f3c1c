"""An installation whose nodes are on the hosts of a rack, reached over SSH; the machine it runs on takes none."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from installation import BIN, Installation, Json, describe, installed

from tests.rack.host import RackHost
from tests.rack.racks import Rack, rack

PREPARE_TIMEOUT_S = 400.0


@dataclass(frozen=True)
class Racked:
    """A running installation, and the rack of which its hosts are."""

    installation: Installation
    rack: Rack

    def add(self, hosts: Iterable[RackHost]) -> None:
        """Add hosts to the installation."""
        add_hosts(self.installation, hosts)

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

    def spread(self, cluster: Json) -> list[str]:
        """Return the hosts of the cluster's nodes, in the nodes' order."""
        return [node["host"] for node in self.installation.nodes(cluster["id"])]

    def left_on(self, host: RackHost, cluster: str) -> list[str]:
        """Return what a host has of a cluster, or of any: containers, links but the host's own, API ports."""
        traces = host.traces()
        containers = [name for name in traces.get("container", []) if f"-{cluster}-" in name or name.startswith(".")]
        return containers + traces.get("link", [])


def add_hosts(installation: Installation, hosts: Iterable[RackHost]) -> None:
    """Add hosts, all at the same time, as an operator does with a client each."""
    clients = [_add(installation, host) for host in hosts]
    for client, said in [(client, client.communicate(timeout=PREPARE_TIMEOUT_S)[0]) for client in clients]:
        assert client.returncode == 0, said


def _add(installation: Installation, host: RackHost) -> subprocess.Popen[str]:
    place = (f"--address={host.address}", f"--zone=row-{host.name}")
    keys = (f"--identity={host.identity}", f"--host-key={host.host_key}")
    return subprocess.Popen(
        (str(BIN / "carina"), "host", "add", host.name, *place, *keys),
        env=installation.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


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
        installation.rack = made
        await asyncio.to_thread(both.add, made.hosts[:count])
        yield both
