"""WireGuard between hosts: clusters' packets go through it, whole, and none gets past it."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from fabric_help import INSTANCE, ROOT, WIRE_MTU, Machine, join, segment, wired

from domain.hosts import CAP_WIREGUARD, CheckState, TunnelPeer
from drivers.hosts import LinuxHosts
from drivers.wireguard_checks import WIREGUARD_OVERHEAD_BYTES

TUNNEL = f"wg-{INSTANCE.prefix}"
POOL_BYTES = 256 * 2**20
INSIDE = WIRE_MTU - WIREGUARD_OVERHEAD_BYTES
WEB = replace(segment(0), mtu=INSIDE - 50)
KEY_MADE, GONE = "make a key for WireGuard to other hosts", "remove WireGuard to other hosts, with its key"
COUNT = """nft 'table inet counting { chain sent {
  type filter hook postrouting priority 500;
  oifname "wires" udp dport 4789 counter;
  oifname "wires" udp dport 51820 counter;
}; }'"""


def driver(machine: Machine, *, wireguard: bool = True) -> LinuxHosts:
    return LinuxHosts(INSTANCE, machine.box.shells, pool_bytes=POOL_BYTES, wireguard=wireguard)


async def prepare(machine: Machine) -> None:
    """Give a machine its key, and know it by that."""
    told: list[str] = []
    await driver(machine).ensure_prepared(machine.host, tell=told.append)
    assert KEY_MADE in told
    await driver(machine).ensure_prepared(machine.host, tell=told.append)
    assert told.count(KEY_MADE) == 1
    report = await driver(machine).measure(machine.host)
    assert CAP_WIREGUARD in report.capabilities
    assert report.mtu == 1500 - WIREGUARD_OVERHEAD_BYTES
    machine.host = replace(machine.host, mtu=INSIDE, tunnel=report.tunnel)


async def connect(*machines: Machine) -> None:
    for machine in machines:
        others = [other.host for other in machines if other is not machine]
        peers = [TunnelPeer(other.fabric_address, other.tunnel) for other in others if other.tunnel]
        await machine.fabric.ensure_tunnels(machine.host, peers)


async def sent(machine: Machine) -> list[int]:
    """How many packets a machine has put on the wire: of VXLAN, and of WireGuard."""
    listed = await machine.box.bash("nft list table inet counting | sed -n 's/.*packets \\([0-9]*\\).*/\\1/p'")
    return [int(count) for count in listed.split()]


@pytest.fixture
async def machines() -> AsyncIterator[list[Machine]]:
    """Two hosts with a tunnel, and a node of a cluster on each."""
    with wired() as made:
        for machine in made:
            await machine.box.bash("mount -t tmpfs tmpfs /run")  # this machine's systemd is not theirs
            await prepare(machine)
            await machine.fabric.ensure_segment(machine.host, WEB)
        await connect(*made)
        for machine, address in zip(made, ("10.64.0.10", "10.64.0.11"), strict=True):
            machine.echo(await machine.add_node(WEB, address))
        await join(WEB, *made)
        yield made


def reaches(machine: Machine, size: int = 100) -> bool:
    """Whether a packet gets from the node on one machine to that on the other, and back."""
    [(_, pid)] = machine.nodes.items()
    other = "10.64.0.11" if "10.64.0.10" in machine.nodes else "10.64.0.10"
    return any(machine.sends(pid, other, size) for _ in range(5))


async def traces(machine: Machine) -> list[str]:
    """What there is of WireGuard on a machine."""
    found = await machine.box.bash(f"ls {ROOT}/state || true; ip rule; ip route show table all; ip -o link")
    return re.findall(f"wireguard.*|.*4789.*|.*table 1051820.*|{TUNNEL}", found)


async def test_what_is_not_prepared_yet_is_tried() -> None:
    with wired() as (machine, _):
        report = await driver(machine).measure(machine.host)
        check = next(check for check in report.checks if check.name == "WireGuard")
        assert (check.state, report.tunnel) == (CheckState.OK, None)
        preview = await driver(machine).preview(machine.host)
        assert KEY_MADE in preview[1]


async def test_packets_between_hosts_are_encrypted_and_as_large_as_is_told(machines: list[Machine]) -> None:
    one, two = machines
    await one.box.bash(COUNT)
    assert reaches(one, WEB.mtu)
    assert reaches(two, WEB.mtu)
    vxlan, wireguard = await sent(one)
    assert vxlan == 0
    assert wireguard > 0
    key, handshake_s = (await one.box.bash(f"wg show {TUNNEL} latest-handshakes")).split()
    assert two.host.tunnel
    assert key == two.host.tunnel.public_key
    assert int(handshake_s) > 0


async def test_what_comes_beside_the_tunnel_is_dropped_where_it_comes_from_and_where_it_goes(
    machines: list[Machine],
) -> None:
    one, two = machines
    assert reaches(one)
    await two.box.bash(f"{COUNT}; ip rule delete ipproto udp dport 4789")
    assert not reaches(two)
    assert (await sent(two))[0] == 0
    await two.box.bash(f"nft delete chain inet carina_{INSTANCE.prefix} output")
    assert not reaches(two)
    assert (await sent(two))[0] > 0
    assert await two.fabric.ensure_rules(two.host)
    assert not await two.fabric.ensure_rules(two.host)
    assert reaches(two)


async def test_without_a_tunnel_nothing_is_sent_in_the_clear(machines: list[Machine]) -> None:
    one, _ = machines
    await one.box.bash(COUNT)
    await one.box.bash(f"ip link delete {TUNNEL}")
    assert not reaches(one)
    assert (await sent(one))[0] == 0


async def test_it_comes_back_with_the_host(machines: list[Machine]) -> None:
    one, _ = machines
    assert reaches(one)
    await one.box.bash(f"ip link delete {TUNNEL}")
    await one.box.bash("ip rule delete ipproto udp dport 4789; ip route flush table 1051820")
    await one.box.bash(f"bash {ROOT}/state/boot.sh start")
    assert reaches(one)


async def test_a_host_that_is_to_have_none_any_more_keeps_nothing(machines: list[Machine]) -> None:
    one, two = machines
    told: list[str] = []
    await driver(one, wireguard=False).ensure_prepared(one.host, tell=told.append)
    assert told == [GONE]
    assert await traces(one) == []
    one.host = replace(one.host, tunnel=None)
    await connect(two)
    assert reaches(one)


async def test_removing_all_leaves_nothing(machines: list[Machine]) -> None:
    one, _ = machines
    assert len(await traces(one)) > 5
    await one.fabric.remove_all(one.host)
    assert await traces(one) == []
