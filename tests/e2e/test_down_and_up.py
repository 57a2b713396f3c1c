"""Taking an installation down and up again, and away: nothing stays behind, and no other one is touched."""

import json

import machine
from installation import BIN, Installation, Json, installed, until
from machine import claim_file, subuid_lines
from swarm import assert_whole, swarm_of


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
        cluster = await second.active("kept", 2)
        nodes = _nodes(second, cluster)
        claim = json.loads(claim_file(second).read_text())
        assert len(subuid_lines(claim["uid_first"])) == 2

        second.carinad("down")
        _assert_nothing_runs(second)
        assert second.home.exists()

        await second.up()
        assert _nodes(second, cluster) == nodes
        await until(lambda: len(machine.running(second)) == 2, 60, "the nodes run again")
        await assert_whole(second, cluster["id"], 2)

        second.carinad("down", "--purge")
        _assert_nothing_runs(second)
        assert not second.home.exists()
        assert not claim_file(second).exists()
        assert subuid_lines(claim["uid_first"]) == []
        assert "Nothing to do" in second.carinad("down", "--purge"), "twice is no error"

    assert _presence(carina) == before, "the other instance is as it was"
    with swarm_of(carina, neighbour) as swarm:
        assert [state for _, state in swarm.members()] == ["ready"]
    await carina.deleted(neighbour["id"])


async def test_down_in_the_midst_of_a_create_that_was_killed_leaves_nothing() -> None:
    with installed() as installation:
        await installation.up()
        _, create = installation.create("cut", 2)
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
