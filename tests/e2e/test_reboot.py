"""A reboot of the host: every cluster comes back with the same addresses and its services running."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import machine
import pytest
from installation import Installation, Json, installed, until
from people import KINDS, People, people_of
from swarm import PAGE

BACK_TIMEOUT_S = 60.0
"""From the start of the service until it says that it is ready."""
SERVICES_TIMEOUT_S = 90.0
"""From then on, until what ran in a cluster runs again: the orchestrator's own work. Docker's gossip tries again after a
minute where it misses an engine that came back."""


@pytest.fixture
async def own() -> AsyncIterator[Installation]:
    with installed() as installation:
        await installation.up()
        yield installation


def reboot(installation: Installation) -> None:
    """Leave of the instance what a reboot leaves: files. Everything dies at once, nothing is told."""
    service = installation.service_pid()
    children = Path(f"/proc/{service}/task/{service}/children").read_text().split()
    for pid in (service, *map(int, children)):
        os.kill(pid, signal.SIGKILL)
    for name in machine.running(installation):
        machine.run("lxc-stop", "-k", "-P", str(installation.nodes_dir), "-n", name)
    for bridge in machine.bridges(installation):
        machine.run("ip", "link", "delete", bridge)
    machine.run("nft", "delete", "table", "inet", f"carina_{installation.prefix}")
    for mount in sorted(machine.mounts(installation), reverse=True):
        machine.run("umount", mount)
    assert machine.loop_devices(installation) == []
    assert machine.links(installation) == set()


async def test_a_reboot_brings_clusters_back_with_their_addresses_and_services(own: Installation) -> None:
    """Clusters of each kind side by side: one with services on several nodes, and one more, a Swarm of one node."""
    clusters = await asyncio.gather(*(own.active(kind, 3, kind=kind) for kind in KINDS), own.active("alone", 1))
    nodes = {cluster["id"]: _nodes(own, cluster) for cluster in clusters}
    *busy, alone = clusters
    await asyncio.gather(*(_start_services(own, cluster) for cluster in busy))

    reboot(own)
    began = time.monotonic()
    await own.up()
    assert time.monotonic() - began < BACK_TIMEOUT_S

    for known in clusters:
        now = own.cluster(known["id"])
        assert (now["status"], now["health"], now["node_count"]) == ("active", "healthy", known["node_count"])
        assert _nodes(own, known) == nodes[known["id"]]
    with people_of(own, alone) as people:
        await until(lambda: people.ready() == 1, SERVICES_TIMEOUT_S, "the lone cluster is back")
    await asyncio.gather(*(_assert_back(own, cluster) for cluster in busy))


async def _start_services(own: Installation, cluster: Json) -> None:
    with people_of(own, cluster) as people:
        people.serve("web", 3)
        people.run("plain", people.addresses[1])
        await until(lambda: people.serving("web") == 3, SERVICES_TIMEOUT_S, "the service runs")
        assert await people.fetch(people.addresses[0], "web") == PAGE


async def _assert_back(own: Installation, cluster: Json) -> None:
    """All that ran in the cluster runs and is reached from everywhere; the cluster can be changed."""
    with people_of(own, cluster) as people:
        await until(lambda: people.ready() == 3, SERVICES_TIMEOUT_S, "all nodes are ready")
        await until(lambda: people.serving("web") == 3, SERVICES_TIMEOUT_S, "the service's servers run again")
        for asker in people.addresses:
            assert await _fetch(people, asker, "web") == PAGE
            assert await _fetch(people, asker, "plain") == PAGE
    await own.succeeded(own.resize(cluster["id"], 4))


async def _fetch(people: People, asker: str, name: str) -> str:
    return await people.fetch(asker, name, timeout_s=SERVICES_TIMEOUT_S)


def _nodes(installation: Installation, cluster: Json) -> list[tuple[str, str]]:
    return [(node["container"], node["address"]) for node in installation.nodes(cluster["id"])]
