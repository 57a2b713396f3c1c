"""Clusters are looked after by themselves: nodes that die come back, and nodes that hang are said to."""

import time
from collections.abc import AsyncIterator

import machine
import pytest
from docker.errors import APIError
from installation import Installation, Json, until
from records import held_by
from requests import RequestException
from swarm import PROBE_IMAGE, Swarm, swarm_of

BACK_TIMEOUT_S = 60.0
"""From a node's death until its cluster is healthy again; also from a hang until it is said."""
SLOW_S = 120.0
"""For what depends on Docker's own patience."""


@pytest.fixture(scope="module")
async def cared(carina: Installation) -> AsyncIterator[Json]:
    """A cluster with a file in a volume on each of its two nodes."""
    cluster = await carina.active("cared", 2)
    with swarm_of(carina, cluster) as swarm:
        for address in swarm.addresses:
            write = ["sh", "-c", f"echo kept on {address} > /data/file"]
            swarm.at(address).containers.run(PROBE_IMAGE, write, volumes={"kept": {"bind": "/data"}}, remove=True)
    yield cluster
    await carina.deleted(cluster["id"])


def kill(carina: Installation, node: Json) -> None:
    """End a node's container at once; nothing in it is told."""
    machine.run("lxc-stop", "-k", "-P", str(carina.nodes_dir), "-n", node["container"])


def heals(carina: Installation, cluster: Json) -> list[Json]:
    operations: list[Json] = carina.get(f"/clusters/{cluster['id']}/operations")["operations"]
    return [operation for operation in operations if operation["kind"] == "heal"]


def told(carina: Installation, cluster: Json) -> set[tuple[str, str]]:
    return {(condition["type"], condition["node"]) for condition in carina.cluster(cluster["id"])["conditions"]}


def all_ready(swarm: Swarm, count: int) -> bool:
    """Whether the manager answers and lists `count` nodes, all ready."""
    try:
        return [state for _, state in swarm.members()] == ["ready"] * count
    except (RequestException, APIError):
        return False


async def assert_healed(carina: Installation, cluster: Json, node: Json, known: int) -> Json:
    """The node's end is said, and ended by a heal, in time; the cluster and its data are whole. Returns the heal."""
    began = time.monotonic()
    await until(lambda: len(heals(carina, cluster)) == known + 1, BACK_TIMEOUT_S, "a heal is accepted")
    heal = heals(carina, cluster)[-1]
    operation = await carina.succeeded(heal["id"], BACK_TIMEOUT_S)
    now = carina.cluster(cluster["id"])
    assert (now["status"], now["health"], now["conditions"]) == ("active", "healthy", [])
    assert time.monotonic() - began < BACK_TIMEOUT_S
    assert node["name"] in [step["node"] for step in operation["steps"] if step["name"] == "ensure_node"]
    with swarm_of(carina, cluster) as swarm:
        await until(lambda: all_ready(swarm, 2), SLOW_S, "all nodes are ready")
        for address in swarm.addresses:
            read = swarm.at(address).containers.run(
                PROBE_IMAGE, ["cat", "/data/file"], volumes={"kept": {"bind": "/data"}}, remove=True
            )
            assert read.decode().strip() == f"kept on {address}"
    return operation


@pytest.mark.parametrize("index", [0, 1], ids=["manager", "worker"])
async def test_a_node_that_is_killed_comes_back_with_its_data(carina: Installation, cared: Json, index: int) -> None:
    node = carina.nodes(cared["id"])[index]
    known = len(heals(carina, cared))
    kill(carina, node)
    await until(
        lambda: ("node-stopped", node["name"]) in told(carina, cared), BACK_TIMEOUT_S, "it is said that it stopped"
    )
    await assert_healed(carina, cared, node, known)
    assert [(n["container"], n["address"]) for n in carina.nodes(cared["id"])][index] == (
        node["container"],
        node["address"],
    )


async def test_a_node_that_is_shut_down_from_inside_comes_back(carina: Installation, cared: Json) -> None:
    node = carina.nodes(cared["id"])[1]
    known = len(heals(carina, cared))
    machine.in_node(carina, node["container"], "systemctl", "poweroff", "--force")
    await assert_healed(carina, cared, node, known)


async def test_a_change_during_a_heal_is_refused_and_names_it(carina: Installation, cared: Json) -> None:
    node = carina.nodes(cared["id"])[0]
    known = len(heals(carina, cared))
    kill(carina, node)
    await until(lambda: len(heals(carina, cared)) == known + 1, BACK_TIMEOUT_S, "a heal is accepted")
    resize = {"type": "resize", "input": {"node_count": 3}}
    refused = carina.call("POST", f"/clusters/{cared['id']}/tasks", json=resize)
    assert refused.status_code == 409
    error = refused.json()["errors"][0]
    assert error["code"] == "cluster-busy"
    assert heals(carina, cared)[-1]["id"] in error["detail"]
    await assert_healed(carina, cared, node, known)


@pytest.mark.parametrize("index", [0, 1], ids=["manager", "worker"])
async def test_a_node_that_hangs_is_said_within_a_minute_until_it_goes_on(
    carina: Installation, cared: Json, index: int
) -> None:
    node = carina.nodes(cared["id"])[index]
    known = len(heals(carina, cared))
    lxc = ("-P", str(carina.nodes_dir), "-n", node["container"])
    machine.run("lxc-freeze", *lxc)
    try:
        await until(
            lambda: ("node-not-ready", node["name"]) in told(carina, cared), BACK_TIMEOUT_S, "it is said that it hangs"
        )
        assert carina.cluster(cared["id"])["health"] == "degraded"
    finally:
        machine.run("lxc-unfreeze", *lxc)
    await until(lambda: carina.cluster(cared["id"])["health"] == "healthy", SLOW_S, "it is well again")
    assert len(heals(carina, cared)) == known, "a node that runs is not started"


async def test_a_node_removed_by_hand_is_said_and_not_forgotten(carina: Installation) -> None:
    cluster = await carina.active("robbed", 2)
    assert (cluster["health"], cluster["conditions"]) == ("healthy", [])
    lost = carina.nodes(cluster["id"])[1]
    kill(carina, lost)
    directory = carina.nodes_dir / lost["container"]
    machine.run("btrfs", "subvolume", "delete", str(directory / "rootfs"))
    machine.run("rm", "-rf", str(directory))
    await until(lambda: told(carina, cluster) == {("node-missing", lost["name"])}, SLOW_S, "it is said to be gone")
    assert carina.cluster(cluster["id"])["status"] == "active"
    assert held_by(carina, cluster["id"])["nodes"], "it is reported, not forgotten"
    await carina.deleted(cluster["id"])
