"""A Swarm cluster as its people see it: through Docker's own client, with the cluster's credentials."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import docker
import docker.tls
from credentials import credentials
from docker.errors import APIError
from docker.models.containers import Container
from docker.types import EndpointSpec, RestartPolicy
from installation import Installation, until
from requests import RequestException

PROBE_IMAGE = "carina/probe:1"
PORT = 2376
START_TRIES = 3
GOSSIP_S = 90.0
"""Docker's gossip tries again after a minute where it misses an engine that came, or whose last container went."""
PAGE = "it works"
WEB = ["sh", "-c", f"mkdir -p /www && echo {PAGE} > /www/index.html && exec httpd -f -p 8080 -h /www"]


class Swarm:
    """Docker clients of a cluster's nodes. Fits `People`."""

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
            client = docker.DockerClient(base_url=self._endpoint(address), tls=self._tls, version="1.44", timeout=30)
            client.api.trust_env = False
            self._clients[address] = client
        return self._clients[address]

    def _endpoint(self, address: str) -> str:
        """Where the API of the node with that address is reached: on some hosts, at a port of theirs."""
        nodes = self.installation.nodes(self.cluster_id)
        return next((str(node["endpoint"]) for node in nodes if node["address"] == address), f"tcp://{address}:{PORT}")

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

    def ready(self) -> int:
        try:
            return [state for _, state in self.members()].count("ready")
        except (RequestException, APIError):
            return 0

    def run(self, name: str, address: str) -> None:
        web = self.at(address).containers.create(
            PROBE_IMAGE,
            WEB,
            name=name,
            network="carina",
            restart_policy={"Name": "always"},
            stop_signal="SIGKILL",
        )
        if not any(starts(web) for _ in range(START_TRIES - 1)):
            web.start()

    def remove(self, name: str, address: str) -> None:
        self.at(address).containers.get(name).remove(force=True)

    def serve(self, name: str, replicas: int) -> None:
        self.manager.services.create(
            PROBE_IMAGE,
            WEB,
            name=name,
            networks=["carina"],
            endpoint_spec=EndpointSpec(mode="dnsrr"),
            mode={"Replicated": {"Replicas": replicas}},
            restart_policy=RestartPolicy(condition="any", delay=10**8),
        )

    def serve_outside(self, name: str, replicas: int) -> int:
        ports = [{"Protocol": "tcp", "PublishedPort": 8080, "TargetPort": 8080, "PublishMode": "host"}]
        self.manager.services.create(
            PROBE_IMAGE,
            WEB,
            name=name,
            endpoint_spec=EndpointSpec(mode="dnsrr", ports=ports),
            mode={"Global": {}},
            restart_policy=RestartPolicy(condition="any", delay=10**8),
        )
        return 8080

    def serving(self, name: str) -> int:
        try:
            tasks = self.manager.api.tasks(filters={"service": name, "desired-state": "running"})
        except (RequestException, APIError):
            return 0
        return sum(task["Status"]["State"] == "running" for task in tasks)

    def places(self, name: str) -> set[str]:
        tasks = self.manager.api.tasks(filters={"service": name, "desired-state": "running"})
        return {task["NodeID"] for task in tasks}

    async def fetch(self, asker: str, name: str) -> str:
        """Return what a container on the node with the address `asker` gets from `name` on the overlay network."""
        got: list[str] = []

        def ask() -> bool:
            command = ["timeout", "2", "wget", "-q", "-O", "-", f"http://{name}:8080/"]
            probe = self.at(asker).containers.create(PROBE_IMAGE, command, network="carina")
            try:
                # Else not yet: a name or a way is not known everywhere at once.
                if starts(probe) and probe.wait()["StatusCode"] == 0:
                    got.append(probe.logs(stderr=False).decode().strip())
            finally:
                probe.remove(force=True)
            return bool(got)

        await until(ask, GOSSIP_S, f"{asker} gets an answer from {name}")
        return got[0]

    def leftovers(self) -> list[str]:
        # One request each: a probe may go by itself between a list and a look at each container.
        found = [(address, self.at(address).api.containers(all=True)) for address in self.addresses]
        return [f"{entry['Names'] or entry['Id']} on {address}" for address, entries in found for entry in entries]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


def starts(container: Container) -> bool:
    """Return whether the container could be started. An engine may not get it onto its network at once."""
    with suppress(APIError):
        container.start()
        return True
    return False


@contextmanager
def swarm_of(installation: Installation, cluster: dict[str, Any]) -> Iterator[Swarm]:
    swarm = Swarm(installation, cluster["id"])
    try:
        yield swarm
    finally:
        swarm.close()
