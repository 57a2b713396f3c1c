"""A cluster as its people see it: through Docker's own client, with the cluster's credentials."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import docker.tls
import machine
from docker.errors import APIError, ContainerError
from installation import Installation, until

PROBE_IMAGE = "carina/probe:1"
PORT = 2376


def credentials(installation: Installation, cluster_id: str) -> Path:
    """Fetch a cluster's credentials, and return the directory that they are in."""
    response = installation.call("GET", f"/clusters/{cluster_id}/credentials/zip")
    assert response.status_code == 200, response.text
    directory = installation.user_home / f"credentials-{cluster_id}"
    directory.mkdir(mode=0o700, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        for entry in archive.infolist():
            (directory / Path(entry.filename).name).write_bytes(archive.read(entry))
    return directory


class Swarm:
    """Docker clients of a cluster's nodes."""

    def __init__(self, installation: Installation, cluster_id: str) -> None:
        self.installation = installation
        self.cluster_id = cluster_id
        files = credentials(installation, cluster_id)
        self._tls = docker.tls.TLSConfig(
            client_cert=(str(files / "cert.pem"), str(files / "key.pem")), ca_cert=str(files / "ca.pem"), verify=True
        )
        self._clients: dict[str, docker.DockerClient] = {}

    def at(self, address: str) -> docker.DockerClient:
        if address not in self._clients:
            client = docker.DockerClient(base_url=f"tcp://{address}:{PORT}", tls=self._tls, version="1.44", timeout=30)
            client.api.trust_env = False
            self._clients[address] = client
        return self._clients[address]

    @property
    def addresses(self) -> list[str]:
        """Addresses of the nodes, the manager's first."""
        return [node["address"] for node in self.installation.nodes(self.cluster_id)]

    @property
    def manager(self) -> docker.DockerClient:
        return self.at(self.addresses[0])

    def members(self) -> list[tuple[str, str]]:
        """Host name and state of each entry that the manager lists."""
        entries = self.manager.api.nodes()
        return sorted((e.get("Description", {}).get("Hostname", ""), e["Status"]["State"]) for e in entries)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    async def answer(self, web: str, asker: str, *, network: str = "carina") -> str:
        """Run a web container on the node with the address `web`, and return what one on `asker` gets from it."""
        page = "mkdir -p /www && echo it works > /www/index.html && exec httpd -f -p 8080 -h /www"
        server = self.at(web).containers.run(
            PROBE_IMAGE, ["sh", "-c", page], name="web", network=network, detach=True, stop_signal="SIGKILL"
        )
        try:
            return await self.fetch(asker, "web", network=network)
        finally:
            server.remove(force=True)

    async def fetch(self, asker: str, name: str, *, network: str = "carina", timeout_s: float = 20) -> str:
        """Return what a container on the node with the address `asker` gets from `name` on the overlay network."""
        got: list[str] = []

        def ask() -> bool:
            command = ["timeout", "2", "wget", "-q", "-O", "-", f"http://{name}:8080/"]
            try:
                output = self.at(asker).containers.run(PROBE_IMAGE, command, network=network, remove=True)
            except (ContainerError, APIError):
                return False  # not yet: a name or a way is not known everywhere at once
            got.append(output.decode().strip())
            return True

        await until(ask, timeout_s, f"{asker} gets an answer from {name}")
        return got[0]


@contextmanager
def swarm_of(installation: Installation, cluster: dict[str, Any]) -> Iterator[Swarm]:
    swarm = Swarm(installation, cluster["id"])
    try:
        yield swarm
    finally:
        swarm.close()


async def assert_whole(installation: Installation, cluster_id: str, nodes: int) -> None:
    """The cluster is active with exactly `nodes` nodes, in the API, on the host and in the swarm; its overlay works."""
    cluster = installation.cluster(cluster_id)
    assert (cluster["status"], cluster["node_count"], cluster["error"]) == ("active", nodes, None)
    listed = installation.nodes(cluster_id)
    assert [node["state"] for node in listed] == ["active"] * nodes
    assert [node["role"] for node in listed] == ["manager", *["worker"] * (nodes - 1)]
    names = {node["container"] for node in listed}
    own = f"{installation.prefix}-{cluster['name']}-"
    assert {name for name in machine.containers(installation) if own in name} == names
    assert names <= machine.running(installation)
    with swarm_of(installation, cluster) as swarm:
        assert swarm.members() == sorted((node["name"], "ready") for node in listed)
        addresses = swarm.addresses
        assert await swarm.answer(addresses[-1], addresses[0]) == "it works"
        for address in addresses:
            assert swarm.at(address).containers.list(all=True) == [], "a probe was left behind"
