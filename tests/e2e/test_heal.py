"""Clusters are looked after by themselves: nodes that die come back, and nodes that hang are said to.

Each test does the same to a Swarm and a Kubernetes cluster at once.
"""

import asyncio
import time
from collections.abc import AsyncIterator

import machine
import pytest
from installation import Installation, Json, until
from people import KINDS, people_of
from records import held_by
from swarm import PROBE_IMAGE, swarm_of

BACK_TIMEOUT_S = 60.0
"""From a node's death until its cluster is healthy again; also from a hang until it is said."""
SLOW_S = 120.0
"""For what depends on an orchestrator's own patience."""
SERVICE = "kept"


@pytest.fixture(scope="module")
async def cared(carina: Installation) -> AsyncIterator[list[Json]]:
    """A cluster of each kind with a service on its two nodes; in the Swarm, a file in a volume on each too."""
    clusters = list(await asyncio.gather(*(carina.active(f"cared-{kind}", 2, kind=kind) for kind in KINDS)))
    for cluster in clusters:
        with people_of(carina, cluster) as people:
            people.serve(SERVICE, 2)
    with swarm_of(carina, clusters[0]) as swarm:
        for address in swarm.addresses:
            write = ["sh", "-c", f"echo kept on {address} > /data/file"]
            swarm.at(address).containers.run(PROBE_IMAGE, write, volumes={"kept": {"bind": "/data"}}, remove=True)
    for cluster in clusters:
        await assert_whole(carina, cluster)
    yield clusters
    await asyncio.gather(*(carina.deleted(cluster["id"]) for cluster in clusters))


def kill(carina: Installation, node: Json) -> None:
    """End a node's container at once; nothing in it is told."""
    machine.run("lxc-stop", "-k", "-P", str(carina.nodes_dir), "-n", node["container"])


def heals(carina: Installation, cluster: Json) -> list[Json]:
    operations: list[Json] = carina.get(f"/clusters/{cluster['id']}/operations")["operations"]
    return [operation for operation in operations if operation["kind"] == "heal"]


def told(carina: Installation, cluster: Json) -> set[tuple[str, str]]:
    """Return what is wrong with the cluster. What its hosts can't do, on whatever machine this is, is not."""
    return {(each["type"], each["node"]) for each in faults(carina.cluster(cluster["id"]))}


def faults(cluster: Json) -> list[Json]:
    return [condition for condition in cluster["conditions"] if condition["severity"] == "fault"]


async def assert_whole(carina: Installation, cluster: Json) -> None:
    """All nodes are ready, the service runs, and volumes have what they had."""
    with people_of(carina, cluster) as people:
        await until(lambda: people.ready() == 2, SLOW_S, "all nodes are ready")
        await until(lambda: people.serving(SERVICE) == 2, SLOW_S, "the service runs")
    if cluster["cluster_type"]["coe"] == "swarm":
        with swarm_of(carina, cluster) as swarm:
            for address in swarm.addresses:
                read = swarm.at(address).containers.run(
                    PROBE_IMAGE, ["cat", "/data/file"], volumes={"kept": {"bind": "/data"}}, remove=True
                )
                assert read.decode().strip() == f"kept on {address}"


async def assert_healed(carina: Installation, cluster: Json, node: Json, known: int) -> None:
    """The node's end is followed by a heal, in time; the cluster and its data are whole."""
    began = time.monotonic()
    await until(lambda: len(heals(carina, cluster)) == known + 1, BACK_TIMEOUT_S, "a heal is accepted")
    heal = heals(carina, cluster)[-1]
    operation = await carina.succeeded(heal["id"], BACK_TIMEOUT_S)
    now = carina.cluster(cluster["id"])
    assert (now["status"], now["health"], faults(now)) == ("active", "healthy", [])
    assert time.monotonic() - began < BACK_TIMEOUT_S
    assert node["name"] in [step["node"] for step in operation["steps"] if step["name"] == "ensure_node"]
    await assert_whole(carina, cluster)


@pytest.mark.parametrize("index", [0, 1], ids=["manager", "worker"])
async def test_a_node_that_is_killed_comes_back_with_its_data(
    carina: Installation, cared: list[Json], index: int
) -> None:
    async def killed(cluster: Json) -> None:
        node = carina.nodes(cluster["id"])[index]
        known = len(heals(carina, cluster))
        kill(carina, node)
        await until(
            lambda: ("node-stopped", node["name"]) in told(carina, cluster),
            BACK_TIMEOUT_S,
            "it is said that it stopped",
        )
        await assert_healed(carina, cluster, node, known)
        same = carina.nodes(cluster["id"])[index]
        assert (same["container"], same["address"]) == (node["container"], node["address"])

    await asyncio.gather(*(killed(cluster) for cluster in cared))


async def test_a_node_that_is_shut_down_from_inside_comes_back(carina: Installation, cared: list[Json]) -> None:
    async def shut_down(cluster: Json) -> None:
        node = carina.nodes(cluster["id"])[1]
        known = len(heals(carina, cluster))
        machine.in_node(carina, node["container"], "systemctl", "poweroff", "--force")
        await assert_healed(carina, cluster, node, known)

    await asyncio.gather(*(shut_down(cluster) for cluster in cared))


async def test_a_change_during_a_heal_is_refused_and_names_it(carina: Installation, cared: list[Json]) -> None:
    async def changed(cluster: Json) -> None:
        node = carina.nodes(cluster["id"])[0]
        known = len(heals(carina, cluster))
        kill(carina, node)
        await until(lambda: len(heals(carina, cluster)) == known + 1, BACK_TIMEOUT_S, "a heal is accepted")
        resize = {"type": "resize", "input": {"node_count": 3}}
        refused = carina.call("POST", f"/clusters/{cluster['id']}/tasks", json=resize)
        assert refused.status_code == 409
        error = refused.json()["errors"][0]
        assert error["code"] == "cluster-busy"
        assert heals(carina, cluster)[-1]["id"] in error["detail"]
        await assert_healed(carina, cluster, node, known)

    await asyncio.gather(*(changed(cluster) for cluster in cared))


@pytest.mark.parametrize("index", [0, 1], ids=["manager", "worker"])
async def test_a_node_that_hangs_is_said_within_a_minute_until_it_goes_on(
    carina: Installation, cared: list[Json], index: int
) -> None:
    async def hangs(cluster: Json) -> None:
        node = carina.nodes(cluster["id"])[index]
        known = len(heals(carina, cluster))
        lxc = ("-P", str(carina.nodes_dir), "-n", node["container"])
        machine.run("lxc-freeze", *lxc)
        try:
            said = ("node-not-ready", node["name"])
            await until(lambda: said in told(carina, cluster), BACK_TIMEOUT_S, "it is said that it hangs")
            assert carina.cluster(cluster["id"])["health"] == "degraded"
        finally:
            machine.run("lxc-unfreeze", *lxc)
        await until(lambda: carina.cluster(cluster["id"])["health"] == "healthy", SLOW_S, "it is well again")
        assert len(heals(carina, cluster)) == known, "a node that runs is not started"

    await asyncio.gather(*(hangs(cluster) for cluster in cared))


async def test_a_node_removed_by_hand_is_said_and_not_forgotten(carina: Installation) -> None:
    cluster = await carina.active("robbed", 2)
    assert (cluster["health"], faults(cluster)) == ("healthy", [])
    lost = carina.nodes(cluster["id"])[1]
    kill(carina, lost)
    directory = carina.nodes_dir / lost["container"]
    machine.run("btrfs", "subvolume", "delete", str(directory / "rootfs"))
    machine.run("rm", "-rf", str(directory))
    await until(lambda: told(carina, cluster) == {("node-missing", lost["name"])}, SLOW_S, "it is said to be gone")
    assert carina.cluster(cluster["id"])["status"] == "active"
    assert held_by(carina, cluster["id"])["nodes"], "it is reported, not forgotten"
    await carina.deleted(cluster["id"])
