"""Hosts that die, or can't be reached, in the midst of changes: nothing is lost, nothing stays, and they are named."""

from collections.abc import AsyncIterator

import pytest
from installation import Json, describe, until
from people import people_of
from racked import Racked, racked
from sweeping import sweep_until

from tests.rack.host import RackHost

PATIENCE_S = 400.0
"""Silent hosts are given a minute at most steps, and there are several on the way to an undo's end."""


@pytest.fixture(scope="module")
async def bed() -> AsyncIterator[Racked]:
    async with racked(3) as made:
        yield made


async def test_a_create_is_undone_when_a_host_dies(bed: Racked) -> None:
    carina = bed.installation
    cluster, create = carina.create("dies", 3)
    victim = await _host_at_work(bed, create)
    victim.power_off()
    operation = await carina.ended(create, PATIENCE_S)
    assert operation["state"] == "failed", describe(operation)
    assert victim.name in operation["error"]["detail"]
    for machine in bed.rack:
        assert machine is victim or bed.left_on(machine, "dies") == []
    await until(lambda: bed.host(victim.name)["unreachable"] is not None, 90, "the dead host is known as such")
    instead = await carina.active("instead", 3)
    assert victim.name not in {node["host"] for node in carina.nodes(instead["id"])}, "new nodes go to others"
    await carina.deleted(instead["id"])
    await _returns_clean(bed, victim, "dies")
    await _takes_nodes(bed, victim)
    await carina.deleted(cluster["id"])


async def test_a_grow_goes_on_when_a_cable_is_plugged_in_again(bed: Racked) -> None:
    carina = bed.installation
    cluster = await carina.active("cut", 2)
    grow = carina.resize(cluster["id"], 3)
    victim = await _host_at_work(bed, grow)
    victim.cut()
    pinged = f"ping -c 1 -W 1 {bed.rack.address}"
    assert "1 received" not in victim.run(f"{pinged} || true"), "the host is cut off"
    victim.mend()
    operation = await carina.succeeded(grow, PATIENCE_S)
    assert victim.name in {step["host"] for step in operation["steps"]}
    with people_of(carina, cluster) as people:
        await until(lambda: people.ready() == 3, 60, "all nodes are ready")
    await carina.deleted(cluster["id"])


async def test_a_grow_is_undone_when_the_host_of_its_new_node_dies(bed: Racked) -> None:
    carina = bed.installation
    cluster = await carina.active("grows", 2)
    grow = carina.resize(cluster["id"], 3)
    victim = await _host_at_work(bed, grow)
    assert victim.name not in bed.spread(cluster)[:2]
    victim.power_off()
    operation = await carina.ended(grow, PATIENCE_S)
    assert operation["state"] == "failed", describe(operation)
    assert victim.name in operation["error"]["detail"]
    after = carina.cluster(cluster["id"])
    assert (after["status"], after["node_count"], after["error"]) == ("active", 2, None)
    with people_of(carina, cluster) as people:
        assert [state for _, state in people.members()] == ["ready"] * 2
    await _returns_clean(bed, victim, "grows")
    await _takes_nodes(bed, victim)
    await carina.succeeded(carina.resize(cluster["id"], 3))
    assert victim.name in bed.spread(cluster)
    await carina.deleted(cluster["id"])


async def test_a_drain_of_a_host_that_dies_loses_no_node_and_is_done_when_it_returns(bed: Racked) -> None:
    carina = bed.installation
    cluster = await carina.active("drained", 3)
    victim = bed.machine(carina.nodes(cluster["id"])[2]["host"])
    drain = carina.accepted("POST", f"/hosts/{bed.host(victim.name)['id']}/tasks", {"type": "drain"})[1]
    await until(lambda: carina.cluster(cluster["id"])["operation_id"] is not None, 60, "its node is being moved")
    await _host_at_work(bed, carina.cluster(cluster["id"])["operation_id"])
    victim.power_off()
    operation = await carina.ended(drain, PATIENCE_S)
    assert operation["state"] == "failed", describe(operation)
    assert victim.name in operation["error"]["detail"]
    after = carina.cluster(cluster["id"])
    assert (after["status"], after["node_count"], after["error"]) == ("active", 3, None)
    victim.power_on()
    await _takes_nodes(bed, victim)
    again = await bed.task(victim.name, "drain")
    assert again["state"] == "succeeded", describe(again)
    assert victim.name not in bed.spread(cluster)
    await sweep_until(carina, lambda: bed.left_on(victim, "drained") == [])
    with people_of(carina, cluster) as people:
        await until(lambda: [state for _, state in people.members()] == ["ready"] * 3, 90, "three nodes are ready")
    carina.carina("host", "uncordon", victim.name)
    await carina.deleted(cluster["id"])


async def test_nodes_come_back_on_a_host_that_does_not_bring_them_back_by_itself(bed: Racked) -> None:
    carina = bed.installation
    cluster = await carina.active("back", 3)
    victim = bed.machine(carina.nodes(cluster["id"])[2]["host"])
    victim.run("cd /etc/systemd/system && systemctl disable --quiet carina-*.service")
    with people_of(carina, cluster) as people:
        victim.power_off()
        await until(lambda: people.ready() == 2, 60, "its node is missed")
        victim.power_on()
        await until(lambda: people.ready() == 3, 180, "the service has brought it back")
    assert carina.nodes(cluster["id"])[2]["host"] == victim.name
    assert "carina-" in victim.run("ls /etc/systemd/system/multi-user.target.wants"), "it was prepared anew"
    await carina.deleted(cluster["id"])


async def test_a_delete_ends_though_a_host_is_dead_which_is_cleared_when_it_returns(bed: Racked) -> None:
    carina = bed.installation
    cluster = await carina.active("gone", 3)
    victim = bed.machine(carina.nodes(cluster["id"])[2]["host"])
    victim.power_off()
    operation = await carina.ended(carina.delete(cluster["id"], query="?force=true"), PATIENCE_S)
    assert operation["state"] == "succeeded", describe(operation)
    assert carina.call("GET", f"/clusters/{cluster['id']}").status_code == 404
    await _returns_clean(bed, victim, "gone")


async def _host_at_work(bed: Racked, operation_id: str) -> RackHost:
    """Return a host that starts a node for the operation right now."""
    found: list[Json] = []

    def look() -> bool:
        steps = bed.installation.get(f"/operations/{operation_id}")["steps"]
        found[:] = [step for step in steps if step["node"] and step["host"] and step["state"] == "running"]
        return bool(found)

    await until(look, 60, "a node is being started")
    return bed.machine(found[-1]["host"])


async def _takes_nodes(bed: Racked, machine: RackHost) -> None:
    """The host answers again, and nothing is about it any more: it may have been prepared anew."""

    def is_free() -> bool:
        host = bed.host(machine.name)
        return (host["unreachable"], host["operation_id"], host["state"]) == (None, None, "ready")

    await until(is_free, 120, f"{machine.name} takes nodes again")


async def _returns_clean(bed: Racked, machine: RackHost, cluster: str) -> None:
    """The host is switched on, and keeps nothing of the cluster."""
    machine.power_on()
    await sweep_until(bed.installation, lambda: bed.left_on(machine, cluster) == [])
