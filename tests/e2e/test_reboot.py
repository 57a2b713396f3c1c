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
from people import KINDS, people_of
from swarm import PAGE

END_TIMEOUT_S = 10.0
BACK_TIMEOUT_S = 60.0
"""From the start of the service until it says that it is ready."""
SERVICES_TIMEOUT_S = 90.0
"""From then on, until what ran in a cluster runs again: the orchestrator's own work. Docker's gossip tries again after
a minute where it misses an engine that came back."""


@pytest.fixture
async def own() -> AsyncIterator[Installation]:
    with installed() as installation:
        await installation.up()
        yield installation


async def reboot(installation: Installation) -> None:
    """Leave of the instance what a reboot leaves: files. Everything dies at once, nothing is told."""
    _end_all(installation)
    # What watched a container may let go of its files, and of its interface, a moment after its end.
    await until(lambda: machine.links(installation) == set(), END_TIMEOUT_S, "no interface is left")
    await until(lambda: _unmounts(installation), END_TIMEOUT_S, "nothing is mounted any more")


def _end_all(installation: Installation) -> None:
    service = installation.service_pid()
    children = Path(f"/proc/{service}/task/{service}/children").read_text().split()
    for pid in (service, *map(int, children)):
        os.kill(pid, signal.SIGKILL)
    for name in machine.running(installation):
        machine.run("lxc-stop", "-k", "-P", str(installation.nodes_dir), "-n", name)
    for bridge in machine.bridges(installation):
        machine.run("ip", "link", "delete", bridge)
    machine.run("nft", "delete", "table", "inet", f"carina_{installation.prefix}")


def _unmounts(installation: Installation) -> bool:
    for mount in sorted(machine.mounts(installation), reverse=True):
        machine.run("umount", mount, check=False)
    return (machine.mounts(installation), machine.loop_devices(installation)) == ([], [])


async def test_a_reboot_brings_clusters_back_with_their_addresses_and_services(own: Installation) -> None:
    """Clusters of each kind side by side: one with services on several nodes, and one more, a Swarm of one node."""
    clusters = await asyncio.gather(*(own.active(kind, 3, kind=kind) for kind in KINDS), own.active("alone", 1))
    nodes = {cluster["id"]: _nodes(own, cluster) for cluster in clusters}
    *busy, alone = clusters
    await asyncio.gather(*(_start_services(own, cluster) for cluster in busy))

    await reboot(own)
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
            assert await people.fetch(asker, "web") == PAGE
            assert await people.fetch(asker, "plain") == PAGE
    await own.succeeded(own.resize(cluster["id"], 4))


def _nodes(installation: Installation, cluster: Json) -> list[tuple[str, str]]:
    return [(node["container"], node["address"]) for node in installation.nodes(cluster["id"])]
