"""Clusters' networks over several hosts: by real packets between machines made of namespaces."""

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fabric_help import MTU, PODS, ROOT, Machine, join, neighbours, segment, wired
from sandbox import _PYTHON

from domain.errors import HostNotReady
from domain.nodes import Neighbour, hardware_address

WEB, SHOP = segment(0, PODS), segment(1)

_TRY_VXLAN = """
import socket, sys
vni, frame = int(sys.argv[1]), bytes.fromhex(sys.argv[2])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    if sys.argv[4]:
        sender.bind((sys.argv[4], 0))
    sender.sendto(b"\\x08\\0\\0\\0" + vni.to_bytes(3, "big") + b"\\0" + frame, (sys.argv[3], 4789))
"""

_STREAM = """
import socket, sys
address, port, count = sys.argv[1], int(sys.argv[2]), 4_000_000
import threading
with socket.create_connection((address, port), timeout=5) as connection:
    threading.Thread(target=lambda: (connection.sendall(bytes(count)), connection.shutdown(socket.SHUT_WR))).start()
    received = 0
    while data := connection.recv(65536):
        received += len(data)
print(received == count)
"""

_STREAM_BACK = """
import socket, sys
with socket.create_server(("0.0.0.0", 7070)) as server:
    print("up", flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)
"""

_BROADCAST = """
import socket
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
    raw.bind(("eth0", 0))
    own = raw.getsockname()[4]
    for to in ("ffffffffffff", "01005e000001", "3333000000fb", "02caffffffff"):
        raw.send(bytes.fromhex(to) + own + b"\\x88\\xb5" + bytes(60))
"""


@pytest.fixture(params=[False, True], ids=["plain", "bridge-nf"])
def machines(request: pytest.FixtureRequest) -> Iterator[list[Machine]]:
    """Two hosts, with bridged traffic outside of and inside the firewall's hooks."""
    with wired(bridge_nf=request.param) as made:
        yield made


@pytest.fixture
def plain() -> Iterator[list[Machine]]:
    with wired() as made:
        yield made


async def town(machines: list[Machine]) -> None:
    """Two clusters over two hosts: WEB with two nodes on the first and one on the second, SHOP with one on each."""
    one, two = machines
    for machine in machines:
        await asyncio.gather(*(machine.fabric.ensure_segment(machine.host, each) for each in (WEB, SHOP)))
    for machine, at, address in (
        (one, WEB, "10.64.0.10"),
        (one, WEB, "10.64.0.11"),
        (two, WEB, "10.64.0.12"),
        (one, SHOP, "10.64.1.10"),
        (two, SHOP, "10.64.1.11"),
    ):
        await machine.add_node(at, address)
    await join(WEB, one, two)
    await join(SHOP, one, two)


def python(machine: Machine, pid: int | None, script: str, *args: str) -> str:
    command = (*machine.box.enter(pid), _PYTHON, "-S", "-c", script, *args)
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


async def count_vxlan(machine: Machine) -> None:
    """Count the VXLAN packets that a machine sends."""
    await machine.box.bash(
        "nft 'table inet counting { chain sent { type filter hook output priority -500; udp dport 4789 counter; }; }'"
    )


async def sent_vxlan(machine: Machine) -> int:
    return int(await machine.box.bash("nft list table inet counting | sed -n 's/.*packets \\([0-9]*\\).*/\\1/p'"))


async def test_nodes_of_a_cluster_reach_each_other_over_hosts(machines: list[Machine]) -> None:
    one, two = machines
    await town(machines)
    two.echo(two.nodes["10.64.0.12"])
    one.echo(one.nodes["10.64.0.10"])
    assert one.box.ask("10.64.0.12", one.nodes["10.64.0.10"]) == "10.64.0.10"
    assert two.box.ask("10.64.0.11", two.nodes["10.64.0.12"]) == "10.64.0.12"
    assert one.sends(one.nodes["10.64.0.10"], "10.64.0.12", MTU), "a packet of full size"
    assert two.sends(two.nodes["10.64.0.12"], "10.64.0.10", MTU), "a packet of full size, the other way"
    assert not one.sends(one.nodes["10.64.0.10"], "10.64.0.12", MTU + 1), "a larger one"
    two.box.keep(*two.box.enter(two.nodes["10.64.0.12"]), _PYTHON, "-S", "-c", _STREAM_BACK)
    assert python(one, one.nodes["10.64.0.11"], _STREAM, "10.64.0.12", "7070") == "True"
    fragments = await one.box.bash("awk '/^Ip: [0-9]/ {print $(NF-1)}' /proc/net/snmp")
    assert fragments == "0", "nothing was sent in fragments"


async def test_clusters_are_apart_over_hosts_too(machines: list[Machine]) -> None:
    one, two = machines
    await town(machines)
    assert one.box.ask("10.64.1.11", one.nodes["10.64.1.10"]) == "10.64.1.10", "a node of its own cluster"
    assert one.box.ask("10.64.0.12", one.nodes["10.64.1.10"]) is None, "another cluster's node on another host"
    assert two.box.ask("10.64.0.12", two.nodes["10.64.1.11"]) is None, "another cluster's node on its own host"
    assert one.box.pings("10.64.0.1", one.nodes["10.64.0.10"]), "each host is the gateway"
    assert two.box.pings("10.64.0.1", two.nodes["10.64.0.12"]), "each host is the gateway"


async def test_pods_reach_each_other_by_way_of_their_nodes(machines: list[Machine]) -> None:
    one, two = machines
    await town(machines)
    for machine, node, pod, others, way in (
        (one, "10.64.0.10", "10.244.1.5", "10.244.2.0/24", "10.64.0.12"),
        (two, "10.64.0.12", "10.244.2.5", "10.244.1.0/24", "10.64.0.10"),
    ):
        await machine.box.bash(
            'nsenter -t "$1" -n ip address add "$2/32" dev lo; nsenter -t "$1" -n ip route add "$3" via "$4"',
            str(machine.nodes[node]), pod, others, way,
        )  # fmt: skip
    two.echo(two.nodes["10.64.0.12"])
    assert one.box.ask("10.244.2.5", one.nodes["10.64.0.10"], source="10.244.1.5") == "10.244.1.5"
    assert one.sends(one.nodes["10.64.0.10"], "10.244.2.5", MTU, source="10.244.1.5")


async def test_what_nobody_has_asked_for_goes_to_no_other_host(machines: list[Machine]) -> None:
    one = machines[0]
    await town(machines)
    await count_vxlan(one)
    node = one.nodes["10.64.0.10"]
    assert one.box.ask("10.64.0.99", node) is None
    assert "lladdr" not in await one.box.bash('nsenter -t "$1" -n ip neighbour show 10.64.0.99', str(node))
    python(one, node, _BROADCAST)
    assert await sent_vxlan(one) == 0, "unknown addresses, broadcasts and multicasts stay on their host"
    assert one.box.ask("10.64.0.12", node) == "10.64.0.10"
    assert await sent_vxlan(one) > 0, "what is for a node there does not"
    assert one.box.ask("10.64.0.11", node) == "10.64.0.10", "and nodes beside each other find each other as ever"


async def test_entries_are_those_of_the_neighbours_and_no_others(plain: list[Machine]) -> None:
    one, _ = plain
    ensure, host = one.fabric.ensure_segment, one.host
    first, second = Neighbour("10.64.0.12", "192.0.2.2"), Neighbour("10.64.0.13", "192.0.2.2")
    await ensure(host, WEB, [first, second])
    before = await one.box.bash("ip -o link show talf-vx0")
    assert await entries(one) == [
        "02:ca:0a:40:00:0c at 192.0.2.2", "02:ca:0a:40:00:0c behind talf-br0", "10.64.0.12 is 02:ca:0a:40:00:0c",
        "02:ca:0a:40:00:0d at 192.0.2.2", "02:ca:0a:40:00:0d behind talf-br0", "10.64.0.13 is 02:ca:0a:40:00:0d",
    ]  # fmt: skip
    await ensure(host, WEB, [replace(second, host_address="192.0.2.3")])
    assert await entries(one) == [
        "02:ca:0a:40:00:0d at 192.0.2.3", "02:ca:0a:40:00:0d behind talf-br0", "10.64.0.13 is 02:ca:0a:40:00:0d",
    ]  # fmt: skip
    assert await one.box.bash("ip -o link show talf-vx0") == before, "the device is the same one"
    await ensure(replace(host, fabric_address="192.0.2.77"), WEB, [first])
    assert "local 192.0.2.77" in await one.box.bash("ip -d -o link show talf-vx0")
    assert len(await entries(one)) == 3
    await ensure(host, WEB)
    assert "talf-vx0" not in await one.box.bash("ip -o link")
    assert [found.bridge for found in await one.fabric.found(host)] == ["talf-br0"]


async def entries(machine: Machine) -> list[str]:
    """What a device says of who is where, by MAC address."""
    text = await machine.box.bash(
        """bridge fdb show dev talf-vx0 | awk '
            / dst / {for (i = 1; i < NF; i++) if ($i == "dst") print $1, "at", $(i + 1)}
            / master / && /static/ {for (i = 1; i < NF; i++) if ($i == "master") print $1, "behind", $(i + 1)}'
        ip -4 neighbour show dev talf-vx0 | awk '{print $1, "is", $3}'"""
    )
    return sorted(text.splitlines(), key=lambda line: (line.split()[2 if " is " in line else 0], line.split()[1]))


async def test_a_change_of_neighbours_loses_no_packet_of_others(plain: list[Machine]) -> None:
    one, two = plain
    await town(plain)
    two.echo(two.nodes["10.64.0.12"])
    node = one.nodes["10.64.0.10"]
    stop = asyncio.Event()

    async def keep_sending() -> list[bool]:
        answers = []
        while not stop.is_set():
            answers.append(await asyncio.to_thread(one.sends, node, "10.64.0.12", MTU))
        return answers

    sending = asyncio.create_task(keep_sending())
    others = neighbours(WEB, two)
    for n in range(8):
        more = [Neighbour(f"10.64.0.{200 + each}", "192.0.2.9") for each in range(n)]
        await one.fabric.ensure_segment(one.host, WEB, [*others, *more])
        await one.fabric.ensure_guarded(one.host, [f"203.0.113.{n}"])
    stop.set()
    answers = await sending
    assert len(answers) > 5
    assert all(answers)


async def test_a_node_that_came_to_another_host_is_found_there(plain: list[Machine]) -> None:
    one, two = plain
    await town(plain)
    del two.nodes["10.64.0.12"]
    await two.add_node(WEB, "10.64.0.13")
    await one.add_node(WEB, "10.64.0.12")
    await join(WEB, one, two)
    assert one.box.ask("10.64.0.12", one.nodes["10.64.0.10"]) == "10.64.0.10"
    assert two.box.ask("10.64.0.12", two.nodes["10.64.0.13"]) == "10.64.0.13"


async def test_vxlan_packets_are_taken_from_the_clusters_hosts_only(plain: list[Machine]) -> None:
    one, two = plain
    await town(plain)
    stranger = "192.0.2.66"
    await two.box.bash('ip address add "$1/32" dev lo', stranger)
    forge = (_TRY_VXLAN, str(WEB.vni), forged(), one.host.fabric_address)
    assert await heard(one, lambda: python(two, None, *forge, two.host.fabric_address))
    assert not await heard(one, lambda: python(two, None, *forge, stranger))


async def test_a_node_can_not_speak_for_its_host_to_another(plain: list[Machine]) -> None:
    one, two = plain
    await town(plain)
    node = two.nodes["10.64.1.11"]
    forge = (_TRY_VXLAN, str(WEB.vni), forged(), "192.0.2.1", "")
    assert not await heard(one, lambda: python(two, node, *forge)), "though its packets go out with its host's address"
    await two.box.bash("nft flush chain inet carina_talf outwards")
    assert await heard(one, lambda: python(two, node, *forge)), "the way is there, but for the table"


def forged() -> str:
    """An Ethernet frame to the node 10.64.0.10 as if from a node of the cluster."""
    to, of = (hardware_address(address).replace(":", "") for address in ("10.64.0.10", "10.64.0.12"))
    return f"{to}{of}88b5" + "00" * 60


async def heard(machine: Machine, act: object) -> bool:
    """Return whether `act` makes a frame of ours come out at the veth of the node 10.64.0.10."""
    assert callable(act)
    port = f"v{machine.nodes['10.64.0.10']}"
    chain = f"chain out {{ type filter hook egress device {port} priority 0; ether type 0x88b5 counter; }}"
    await machine.box.bash('nft "$1"', f"table netdev heard {{ {chain}; }}")
    await asyncio.to_thread(act)
    count = await machine.box.bash("nft list table netdev heard | sed -n 's/.*packets \\([0-9]*\\).*/\\1/p'")
    await machine.box.bash("nft delete table netdev heard")
    return int(count) > 0


async def test_without_an_address_in_the_fabric_it_says_what_to_do(plain: list[Machine]) -> None:
    one, _ = plain
    neighbour = Neighbour("10.64.0.12", "192.0.2.2")
    with pytest.raises(HostNotReady, match=r"rack1.*has no address") as refused:
        await one.fabric.ensure_segment(replace(one.host, fabric_address=""), WEB, [neighbour])
    assert "--fabric-address" in refused.value.remedy
    with pytest.raises(HostNotReady, match="host of the node"):
        await one.fabric.ensure_segment(one.host, WEB, [replace(neighbour, host_address="")])
    await one.fabric.ensure_segment(replace(one.host, fabric_address=""), WEB)


async def test_what_is_removed_leaves_nothing(plain: list[Machine]) -> None:
    one, _ = plain
    await town(plain)
    await one.fabric.ensure_guarded(one.host, ["203.0.113.0/24"])
    await one.fabric.remove_segment(one.host, WEB.bridge)
    links = await one.box.bash("ip -o link")
    assert "talf-vx0" not in links
    assert "talf-vx1" in links
    await one.fabric.remove_all(one.host)
    links = await one.box.bash("ip -o link")
    assert "talf-br" not in links
    assert "talf-vx" not in links
    assert await one.box.bash('ls -A "$1"', ROOT) == ""
    assert await one.fabric.found(one.host) == []
