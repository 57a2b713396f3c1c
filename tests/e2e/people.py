"""What people do with a cluster through its own API, whichever orchestrator it has: the same tests run over both."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import pytest
from installation import Installation, Json
from kube import Kube
from swarm import Swarm

KINDS = ("swarm", "kubernetes")
"""The orchestrators, as `carina create --type` names them."""
every_kind = pytest.mark.parametrize("kind", KINDS)


class People(Protocol):
    """People of one cluster, with its credentials. Web servers that they start say `PAGE`, and are found by name."""

    @property
    def addresses(self) -> list[str]:
        """Addresses of the nodes, the manager's first."""

    def members(self) -> list[tuple[str, str]]:
        """Name and state ("ready", if it is) of each node that the cluster itself knows, sorted."""

    def ready(self) -> int:
        """How many nodes are ready; none as long as the cluster does not answer."""

    def run(self, name: str, address: str) -> None:
        """Start one web server on the node with that address. It is started again when it ends."""

    def remove(self, name: str, address: str) -> None:
        """Remove what `run` started."""

    def serve(self, name: str, replicas: int) -> None:
        """Start a service of several web servers, wherever they find room, and keep up their number."""

    def serve_outside(self, name: str, replicas: int) -> int:
        """Start such a service, one server on a node, which is asked from outside too; return the nodes' port."""

    def serving(self, name: str) -> int:
        """How many of the service's servers run; none as long as the cluster does not answer."""

    def places(self, name: str) -> set[str]:
        """On which nodes the service's servers run, as the cluster names them."""

    async def fetch(self, asker: str, name: str) -> str:
        """Return what a container on the node with the address `asker` gets from the web server or service."""

    def leftovers(self) -> list[str]:
        """What runs in the cluster that its people did not start: probes that Carina left behind."""

    def close(self) -> None:
        """End the conversations."""


@contextmanager
def people_of(installation: Installation, cluster: Json) -> Iterator[People]:
    """People of a cluster, with credentials of their own."""
    kinds: dict[str, type[Swarm | Kube]] = {"swarm": Swarm, "kubernetes": Kube}
    people = kinds[cluster["cluster_type"]["coe"]](installation, cluster["id"])
    try:
        yield people
    finally:
        people.close()


async def answer(people: People, web: str, asker: str) -> str:
    """Run a web server on the node with the address `web`, and return what a container on `asker` gets from it."""
    name = f"web-{secrets.token_hex(3)}"  # names that were known before are remembered for a while
    people.run(name, web)
    try:
        return await people.fetch(asker, name)
    finally:
        people.remove(name, web)
