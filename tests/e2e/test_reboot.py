"""A reboot of the host: every cluster comes back with the same addresses and its services running."""

import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import machine
import pytest
from docker.errors import APIError
from docker.types import EndpointSpec, RestartPolicy
from installation import Installation, installed, until
from requests import RequestException
from swarm import PROBE_IMAGE, Swarm, swarm_of

BACK_TIMEOUT_S = 60.0
"""From the start of the service until it says that it is ready."""
SERVICES_TIMEOUT_S = 60.0
"""From then on, until what ran in the cluster runs again: Docker's own work."""

SERVE = "mkdir -p /www && echo from $(hostname) > /www/index.html && exec httpd -f -p 8080 -h /www"


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
    cluster = await own.active("booted", 3)
    other = await own.active("alone", 1)
    nodes = {c["id"]: [(n["container"], n["address"]) for n in own.nodes(c["id"])] for c in (cluster, other)}
    with swarm_of(own, cluster) as swarm:
        swarm.manager.services.create(
            PROBE_IMAGE,
            ["sh", "-c", SERVE],
            name="web",
            networks=["carina"],
            endpoint_spec=EndpointSpec(mode="dnsrr"),
            mode={"Replicated": {"Replicas": 3}},
            restart_policy=RestartPolicy(condition="any", delay=10**8),
        )
        swarm.at(swarm.addresses[1]).containers.run(
            PROBE_IMAGE,
            ["sh", "-c", SERVE],
            name="plain",
            network="carina",
            restart_policy={"Name": "always"},
            detach=True,
        )
        await until(lambda: tasks_running(swarm) == 3, SERVICES_TIMEOUT_S, "the service's tasks run")
        assert (await swarm.fetch(swarm.addresses[0], "web")).startswith("from ")

    reboot(own)
    began = time.monotonic()
    await own.up()
    assert time.monotonic() - began < BACK_TIMEOUT_S

    for known in (cluster, other):
        now = own.cluster(known["id"])
        assert (now["status"], now["health"], now["node_count"]) == ("active", "healthy", known["node_count"])
        assert [(n["container"], n["address"]) for n in own.nodes(known["id"])] == nodes[known["id"]]
    with swarm_of(own, other) as swarm:
        await until(lambda: all_ready(swarm, 1), SERVICES_TIMEOUT_S, "the other cluster is back")
    with swarm_of(own, cluster) as swarm:
        await until(lambda: all_ready(swarm, 3), SERVICES_TIMEOUT_S, "all nodes are ready")
        await until(lambda: tasks_running(swarm) == 3, SERVICES_TIMEOUT_S, "the service's tasks run again")
        for asker in swarm.addresses:
            assert (await swarm.fetch(asker, "web", timeout_s=SERVICES_TIMEOUT_S)).startswith("from ")
            assert (await swarm.fetch(asker, "plain", timeout_s=SERVICES_TIMEOUT_S)).startswith("from ")
    await own.succeeded(own.resize(cluster["id"], 4))


def tasks_running(swarm: Swarm) -> int:
    """How many tasks of the service run; none as long as the manager does not say."""
    try:
        tasks = swarm.manager.api.tasks(filters={"service": "web", "desired-state": "running"})
    except (RequestException, APIError):
        return 0
    return sum(task["Status"]["State"] == "running" for task in tasks)


def all_ready(swarm: Swarm, count: int) -> bool:
    """Whether the manager answers and lists `count` nodes, all ready."""
    try:
        return [state for _, state in swarm.members()] == ["ready"] * count
    except (RequestException, APIError):
        return False
