"""Taking an installation down and up again, and away: nothing stays behind, and no other one is touched."""

import asyncio
import json

import machine
from installation import BIN, Installation, Json, installed, until
from machine import claim_file, subuid_lines
from people import every_kind, people_of
from whole import assert_whole


def _presence(installation: Installation) -> dict[str, object]:
    """All that an instance has on the machine, down to the processes that its nodes are."""
    pids = {
        name: machine.run("lxc-info", "-P", str(installation.nodes_dir), "-n", name, "-p", "-H").strip()
        for name in machine.running(installation)
    }
    return {
        "service": installation.service_pid(),
        "nodes": pids,
        "links": machine.links(installation),
        "rules": machine.run("nft", "list", "table", "inet", f"carina_{installation.prefix}"),
        "mounts": machine.mounts(installation),
        "claim": claim_file(installation).read_text(),
    }


def _assert_nothing_runs(installation: Installation) -> None:
    assert machine.links(installation) == set()
    assert not machine.has_table(installation)
    assert machine.mounts(installation) == []
    assert machine.loop_devices(installation) == []
    assert machine.processes(installation) == []


def _nodes(installation: Installation, cluster: Json) -> list[tuple[str, str]]:
    return [(node["container"], node["address"]) for node in installation.nodes(cluster["id"])]


async def test_down_leaves_nothing_and_up_brings_it_back_and_purge_forgets_it(carina: Installation) -> None:
    neighbour = await carina.active("neighbour", 1)
    before = _presence(carina)
    with installed() as second:
        await second.up()
        clusters = await asyncio.gather(second.active("kept", 2), second.active("stayed", 1, kind="kubernetes"))
        nodes = [_nodes(second, cluster) for cluster in clusters]
        claim = json.loads(claim_file(second).read_text())
        assert len(subuid_lines(claim["uid_first"])) == 2

        second.carinad("down")
        _assert_nothing_runs(second)
        assert second.home.exists()

        await second.up()
        assert [_nodes(second, cluster) for cluster in clusters] == nodes
        await until(lambda: len(machine.running(second)) == 3, 60, "the nodes run again")
        await asyncio.gather(*(_assert_whole_again(second, cluster) for cluster in clusters))

        second.carinad("down", "--purge")
        _assert_nothing_runs(second)
        assert not second.home.exists()
        assert not claim_file(second).exists()
        assert subuid_lines(claim["uid_first"]) == []
        assert "Nothing to do" in second.carinad("down", "--purge"), "twice is no error"

    assert _presence(carina) == before, "the other instance is as it was"
    with people_of(carina, neighbour) as people:
        assert people.ready() == 1
    await carina.deleted(neighbour["id"])


async def _assert_whole_again(installation: Installation, cluster: Json) -> None:
    with people_of(installation, cluster) as people:
        await until(lambda: people.ready() == cluster["node_count"], 60, "the nodes are ready again")
    await assert_whole(installation, cluster["id"], cluster["node_count"])


@every_kind
async def test_down_in_the_midst_of_a_create_that_was_killed_leaves_nothing(kind: str) -> None:
    with installed() as installation:
        await installation.up()
        _, create = installation.create("cut", 2, kind=kind)
        await _until_a_node_is_being_made(installation, create)
        pid = installation.service_pid()
        machine.run("kill", "-KILL", str(pid))
        installation.carinad("down", "--purge")
        _assert_nothing_runs(installation)
        assert not installation.home.exists()


async def _until_a_node_is_being_made(installation: Installation, operation: str) -> None:
    def begun() -> bool:
        return any(step["name"] == "ensure_node" for step in installation.get(f"/operations/{operation}")["steps"])

    await until(begun, 30, "a node is being made")


def test_a_second_service_on_the_same_home_is_refused(carina: Installation) -> None:
    done = carina.run(str(BIN / "carinad"), "up", check=False)
    assert done.returncode == 1
    assert str(carina.service_pid()) in done.stderr
