"""Clusters' networks: the port's contract over the fake and the kernel, and isolation by real traffic."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import pytest
from sandbox import Sandbox, sandbox

from domain.errors import CommandFailed
from domain.hosts import Host
from domain.instance import Instance
from domain.nodes import FoundSegment, Segment
from drivers.fabric import LinuxFabric
from drivers.fakes.fabric import FakeFabric

ALFA = Instance("talf")
BETA = Instance("tbet")
HOST = Host("h1", "one", "local", "/var/tmp/alfa")
OUTSIDE = "198.51.100.1"
HOST_OUTSIDE = "198.51.100.2"


def segment(instance: Instance, slot: int, network: str = "10.64") -> Segment:
    return Segment(f"cluster-{slot}", instance.bridge(slot), f"{network}.{slot}.0/24", f"{network}.{slot}.1", 1400)


class AnyFabric(Protocol):
    async def ensure_segment(self, host: Host, segment: Segment) -> None: ...
    async def remove_segment(self, host: Host, bridge: str) -> None: ...
    async def found(self, host: Host) -> list[FoundSegment]: ...
    async def remove_all(self, host: Host) -> None: ...


@pytest.fixture(params=["0", "1"], ids=["plain", "bridge-nf"])
def machine(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A machine with bridged traffic outside of and inside the firewall's hooks."""
    with sandbox() as made:
        made_call = "echo $1 > /proc/sys/net/bridge/bridge-nf-call-iptables; echo 1 > /proc/sys/net/ipv4/ip_forward"
        asyncio.new_event_loop().run_until_complete(made.bash(made_call, request.param))
        yield made


@pytest.fixture(params=["fake", "kernel"])
def fabric(request: pytest.FixtureRequest) -> Iterator[AnyFabric]:
    if request.param == "fake":
        yield FakeFabric()
        return
    with sandbox() as made:
        yield LinuxFabric(ALFA, made.shells)


async def bridges(fabric: AnyFabric) -> list[tuple[str, str | None]]:
    return sorted((found.bridge, found.cluster_id) for found in await fabric.found(HOST))


async def test_a_segment_is_found_with_its_cluster(fabric: AnyFabric) -> None:
    await fabric.ensure_segment(HOST, segment(ALFA, 3))
    assert await bridges(fabric) == [("talf-br3", "cluster-3")]


async def test_ensuring_twice_is_ensuring_once(fabric: AnyFabric) -> None:
    await fabric.ensure_segment(HOST, segment(ALFA, 3))
    await fabric.ensure_segment(HOST, segment(ALFA, 3))
    assert await bridges(fabric) == [("talf-br3", "cluster-3")]


async def test_removing_takes_one_segment_and_twice_is_no_error(fabric: AnyFabric) -> None:
    await asyncio.gather(*(fabric.ensure_segment(HOST, segment(ALFA, slot)) for slot in range(3)))
    await fabric.remove_segment(HOST, "talf-br1")
    await fabric.remove_segment(HOST, "talf-br1")
    assert await bridges(fabric) == [("talf-br0", "cluster-0"), ("talf-br2", "cluster-2")]


async def test_a_slot_that_went_to_another_cluster_carries_its_name(fabric: AnyFabric) -> None:
    await fabric.ensure_segment(HOST, segment(ALFA, 0))
    await fabric.ensure_segment(HOST, replace(segment(ALFA, 0), cluster_id="other"))
    assert await bridges(fabric) == [("talf-br0", "other")]


async def test_removing_all_leaves_nothing_and_twice_is_no_error(fabric: AnyFabric) -> None:
    await fabric.ensure_segment(HOST, segment(ALFA, 0))
    await fabric.remove_all(HOST)
    await fabric.remove_all(HOST)
    assert await bridges(fabric) == []


async def test_the_table_goes_with_the_last_segment_and_no_other_is_touched() -> None:
    with sandbox() as machine:
        await machine.bash("nft add table inet strangers; nft add table ip filter")
        fabric = LinuxFabric(ALFA, machine.shells)
        await fabric.ensure_segment(HOST, segment(ALFA, 0))
        assert "table inet carina_talf" in await machine.bash("nft list tables")
        await fabric.remove_segment(HOST, "talf-br0")
        assert await machine.bash("nft list tables") == "table inet strangers\ntable ip filter"


async def test_a_half_made_bridge_is_completed() -> None:
    with sandbox() as machine:
        fabric = LinuxFabric(ALFA, machine.shells)
        await machine.bash("ip link add talf-br0 type bridge; ip address add 10.9.9.1/24 dev talf-br0")
        assert await bridges(fabric) == [("talf-br0", None)]
        await fabric.ensure_segment(HOST, segment(ALFA, 0))
        addresses = await machine.bash("ip -o address show dev talf-br0 | awk '{print $4}'")
        state = await machine.bash("ip -o link show dev talf-br0; cat /sys/class/net/talf-br0/bridge/stp_state")
        assert addresses == "10.64.0.1/24"
        assert "mtu 1400" in state
        assert "02:ca:0a:40:00:01" in state
        assert ",UP" in state


async def test_an_interface_that_is_no_bridge_is_left_alone() -> None:
    with sandbox() as machine:
        await machine.bash("ip link add talf-br0 type veth")
        with pytest.raises(CommandFailed, match="is no bridge"):
            await LinuxFabric(ALFA, machine.shells).ensure_segment(HOST, segment(ALFA, 0))
        await LinuxFabric(ALFA, machine.shells).remove_all(HOST)
        assert "talf-br0" in await machine.bash("ip -o link")


async def test_a_bridge_of_another_instance_is_not_removed() -> None:
    with sandbox() as machine:
        await LinuxFabric(BETA, machine.shells).ensure_segment(HOST, segment(BETA, 0))
        with pytest.raises(CommandFailed, match="is not of talf"):
            await LinuxFabric(ALFA, machine.shells).remove_segment(HOST, "tbet-br0")
        await LinuxFabric(ALFA, machine.shells).remove_all(HOST)
        assert await bridges(LinuxFabric(BETA, machine.shells)) == [("tbet-br0", "cluster-0")]


async def test_segments_made_at_once_all_have_their_rules_even_after_a_flush() -> None:
    with sandbox() as machine:
        fabric = LinuxFabric(ALFA, machine.shells)
        await asyncio.gather(*(fabric.ensure_segment(HOST, segment(ALFA, slot)) for slot in range(8)))
        rules = await machine.bash("nft list table inet carina_talf")
        assert [rules.count(f'"talf-br{slot}" . 10.64.{slot}.0/24') for slot in range(8)] == [1] * 8
        await machine.bash("nft flush ruleset")
        await fabric.ensure_segment(HOST, segment(ALFA, 0))
        assert await machine.bash("nft list table inet carina_talf") == rules


async def test_instances_that_change_at_once_do_not_disturb_each_other() -> None:
    with sandbox() as machine:
        alfa, beta = LinuxFabric(ALFA, machine.shells), LinuxFabric(BETA, machine.shells)
        await asyncio.gather(
            *(alfa.ensure_segment(HOST, segment(ALFA, slot)) for slot in range(4)),
            *(
                beta.ensure_segment(replace(HOST, root="/var/tmp/beta"), segment(BETA, slot, "10.65"))
                for slot in range(4)
            ),
        )
        for instance, network in ((ALFA, "10.64"), (BETA, "10.65")):
            rules = await machine.bash(f"nft list table inet {instance.nft_table}")
            assert rules.count(f". {network}.") == 4


@pytest.mark.parametrize("cut_after_s", [0.005, 0.015, 0.025, 0.035])
async def test_a_call_that_is_cut_is_completed_by_the_next(cut_after_s: float) -> None:
    with sandbox() as machine:
        fabric = LinuxFabric(ALFA, machine.shells)
        with suppress(TimeoutError):
            await asyncio.wait_for(fabric.ensure_segment(HOST, segment(ALFA, 0)), cut_after_s)
        await fabric.ensure_segment(HOST, segment(ALFA, 0))
        assert await bridges(fabric) == [("talf-br0", "cluster-0")]
        assert '"talf-br0" . 10.64.0.0/24' in await machine.bash("nft list table inet carina_talf")
        assert "10.64.0.1/24" in await machine.bash("ip -o address show dev talf-br0")


@dataclass
class Town:
    """Two clusters of one instance, one of another, and a machine outside, on one host."""

    machine: Sandbox
    first: int
    sibling: int
    other: int
    foreign: int
    outside: int


@pytest.fixture
async def town(machine: Sandbox) -> Town:
    alfa, beta = LinuxFabric(ALFA, machine.shells), LinuxFabric(BETA, machine.shells)
    await alfa.ensure_segment(HOST, segment(ALFA, 0))
    await alfa.ensure_segment(HOST, segment(ALFA, 1))
    await beta.ensure_segment(HOST, segment(BETA, 0, "10.65"))
    town = Town(machine, *(machine.network() for _ in range(5)))
    await attach(machine, town.first, "talf-br0", "10.64.0.10", "10.64.0.1")
    await attach(machine, town.sibling, "talf-br0", "10.64.0.11", "10.64.0.1")
    await attach(machine, town.other, "talf-br1", "10.64.1.10", "10.64.1.1")
    await attach(machine, town.foreign, "tbet-br0", "10.65.0.10", "10.65.0.1")
    await machine.bash(
        'ip link add out type veth peer name eth0 netns "$1"; ip address add "$2/24" dev out; ip link set out up; '
        'nsenter -t "$1" -n ip address add "$3/24" dev eth0; nsenter -t "$1" -n ip link set eth0 up',
        str(town.outside), HOST_OUTSIDE, OUTSIDE,
    )  # fmt: skip
    for pid in (town.first, town.sibling, town.other, town.foreign, town.outside):
        machine.listen(pid)
    machine.listen()
    return town


async def attach(machine: Sandbox, pid: int, bridge: str, address: str, gateway: str) -> None:
    await machine.bash(
        'ip link add "v$1" type veth peer name eth0 netns "$1"; ip link set "v$1" master "$2" up; '
        'inside="nsenter -t $1 -n"; $inside ip address add "$3/24" dev eth0; $inside ip link set eth0 up; '
        '$inside ip route add default via "$4"',
        str(pid), bridge, address, gateway,
    )  # fmt: skip


async def test_who_reaches_whom(town: Town) -> None:
    ask = town.machine.ask
    assert ask("10.64.0.11", town.first) == "10.64.0.10", "nodes of one cluster reach each other"
    assert ask("10.64.0.10") == "10.64.0.1", "the host reaches nodes"
    assert ask("10.65.0.10") == "10.65.0.1", "the host reaches nodes of each instance"
    assert ask(OUTSIDE, town.first) == HOST_OUTSIDE, "nodes reach the outside, masqueraded"
    assert ask("10.64.1.10", town.first) is None, "another cluster's node"
    assert ask("10.64.0.10", town.other) is None, "another cluster's node, the other way"
    assert ask("10.65.0.10", town.first) is None, "another instance's node"
    assert ask("10.64.0.10", town.foreign) is None, "another instance's node, the other way"
    assert ask("10.64.0.1", town.first) is None, "a service of the host, on the gateway's address"
    assert ask("10.64.1.1", town.first) is None, "a service of the host, on another cluster's gateway"
    assert ask(HOST_OUTSIDE, town.first) is None, "a service of the host, on another of its addresses"
    assert town.machine.pings("10.64.0.1", town.first), "the gateway answers a ping"


async def test_the_outside_opens_no_connection_to_a_node(town: Town) -> None:
    await town.machine.bash('nsenter -t "$1" -n ip route add 10.64.0.0/16 via "$2"', str(town.outside), HOST_OUTSIDE)
    assert town.machine.ask("10.64.0.10", town.outside) is None
    assert town.machine.ask(HOST_OUTSIDE, town.outside) == OUTSIDE, "the host's own services stay as they were"


@pytest.mark.parametrize("bridge", ["docker0", "br-0123456789ab", "virbr7"])
async def test_nodes_do_not_reach_what_the_host_carries_beside_them(town: Town, bridge: str) -> None:
    """Containers of the host's own, by the ways that lead to them: their bridge, and a port of the host."""
    machine, theirs = town.machine, "172.30.0.2"
    await machine.bash(
        'ip link add "$4" type bridge; ip address add 172.30.0.1/24 dev "$4"; ip link set "$4" up; '
        'ip link add out2 type veth peer name eth1 netns "$1"; ip link set out2 master "$4" up; '
        'nsenter -t "$1" -n ip address add "$2/24" dev eth1; nsenter -t "$1" -n ip link set eth1 up; '
        'nsenter -t "$1" -n ip route add default via 172.30.0.1; '
        'nft "table ip theirs { chain ports { type nat hook prerouting priority dstnat; '
        'ip daddr $3 tcp dport 8080 dnat to $2; }; }"',
        str(town.outside), theirs, HOST_OUTSIDE, bridge,
    )  # fmt: skip
    await LinuxFabric(ALFA, machine.shells).ensure_guarded(HOST, [])
    assert machine.ask(theirs) == "172.30.0.1", "the host reaches them"
    assert machine.ask(theirs, town.first) is None
    assert machine.ask(HOST_OUTSIDE, town.first) is None
    assert machine.ask(OUTSIDE, town.first) == HOST_OUTSIDE, "the outside is reached as before"
    await machine.bash('ip route add default via "$1"', theirs)
    await LinuxFabric(ALFA, machine.shells).ensure_guarded(HOST, [])
    assert machine.ask(theirs, town.first) is not None, "an uplink may be a bridge"


async def test_rules_that_were_flushed_are_brought_back(town: Town) -> None:
    fabric, machine = LinuxFabric(ALFA, town.machine.shells), town.machine
    before = await machine.bash("nft list table inet carina_talf")
    assert await fabric.ensure_rules(HOST) is False
    await machine.bash("nft flush ruleset")
    assert machine.ask("10.64.1.10", town.first) is not None, "nothing stands between clusters"
    assert await fabric.ensure_rules(HOST) is True
    assert await machine.bash("nft list table inet carina_talf") == before
    assert machine.ask("10.64.1.10", town.first) is None


async def test_nodes_are_joined_to_a_bridge_that_was_lost(machine: Sandbox) -> None:
    fabric, nodes = LinuxFabric(ALFA, machine.shells), [machine.network(), machine.network()]
    made = segment(ALFA, 31)
    for lost in (False, True):
        if lost:
            await machine.bash("ip link delete talf-br31")
        await fabric.ensure_segment(HOST, made)
        for number, pid in enumerate([] if lost else nodes):
            await attach(machine, pid, "talf-br31", f"10.64.31.1{number}", "10.64.31.1")
            await machine.bash('ip link set "v$1" down name "talf-1fn$2" up', str(pid), str(number))
            machine.listen(pid)
        assert machine.ask("10.64.31.11", nodes[0]) == "10.64.31.10"


async def test_a_node_can_not_borrow_an_address_of_another_network(town: Town) -> None:
    borrowed = "192.0.2.77"
    await town.machine.bash('nsenter -t "$1" -n ip address add "$2/32" dev lo', str(town.first), borrowed)
    await town.machine.bash('nsenter -t "$1" -n ip route add "$2" via "$3"', str(town.outside), borrowed, HOST_OUTSIDE)
    await town.machine.bash('ip route add "$1" via 10.64.0.10', borrowed)
    assert town.machine.ask(OUTSIDE, town.first, source=borrowed) is None
    await town.machine.bash("nft delete table inet carina_talf")
    assert town.machine.ask(OUTSIDE, town.first, source=borrowed) == borrowed, "the way is there, but for the table"
