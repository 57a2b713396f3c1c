"""Ports of a host that lead to nodes, and networks that nodes can't reach: by real traffic."""

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from fabric_help import Machine, segment, wired
from sandbox import _PYTHON

from domain.hosts import Claim, Endpoint
from domain.publications import Protocol, Publication

WEB, SHOP = segment(0), segment(1)
NODE, SIBLING, OTHER = "10.64.0.10", "10.64.0.11", "10.64.1.10"

_ASK = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=0.7) as connection:
    print(connection.recv(64).decode())
"""

_HOLD = """
import socket, sys, time
with socket.create_connection(("192.0.2.1", 7000), timeout=5) as connection:
    connection.settimeout(0.7)
    print("up", flush=True)
    for _ in sys.stdin:
        connection.sendall(b"x")
        try:
            print(len(connection.recv(1)), flush=True)
        except (ConnectionResetError, TimeoutError) as error:
            print(type(error).__name__, flush=True)
"""

_WHO = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("0.0.0.0", 5353))
    print("up", flush=True)
    while True:
        server.sendto(sys.argv[1].encode(), server.recvfrom(64)[1])
"""

_FLOW = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.connect(("192.0.2.1", 53))
    client.settimeout(0.1)
    last = None
    while True:
        client.send(b"x")
        try:
            who = client.recv(64).decode()
        except (TimeoutError, ConnectionRefusedError):
            continue
        if who != last:
            print(who, flush=True)
        last = who
"""

_STREAM_BACK = """
import socket
with socket.create_server(("0.0.0.0", 7070)) as server:
    print("up", flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)
"""


@dataclass
class Street:
    """A host with nodes of two clusters, and another machine that is no part of any of this."""

    host: Machine
    outside: Machine

    def ask(self, machine: Machine, address: str, port: int, pid: int | None = None) -> str | None:
        """The address that the listener behind a port sees, None if it does not answer."""
        command = (*machine.box.enter(pid), _PYTHON, "-S", "-c", _ASK, address, str(port))
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or None

    async def publish(self, *publications: Publication) -> None:
        await self.host.fabric.ensure_publications(self.host.host, publications)

    async def guard(self, *networks: str) -> None:
        await self.host.fabric.ensure_guarded(self.host.host, networks)


@pytest.fixture(params=[False, True], ids=["plain", "bridge-nf"])
def machines(request: pytest.FixtureRequest) -> Iterator[list[Machine]]:
    with wired(bridge_nf=request.param) as made:
        yield made


@pytest.fixture
async def street(machines: list[Machine]) -> Street:
    host, outside = machines
    for each in (WEB, SHOP):
        await host.fabric.ensure_segment(host.host, each)
    for at, address in ((WEB, NODE), (WEB, SIBLING), (SHOP, OTHER)):
        await host.add_node(at, address)
    outside.box.listen()
    return Street(host, outside)


async def test_a_published_port_leads_to_its_node_and_no_other_port_does(street: Street) -> None:
    await street.publish(Publication(80, NODE, 8080))
    assert street.ask(street.outside, "192.0.2.1", 80) == "192.0.2.2", "the node sees who asks"
    assert street.ask(street.outside, "192.0.2.1", 8080) is None
    assert street.ask(street.host, "192.0.2.1", 80) == "192.0.2.1", "the host itself comes in there too"
    await street.outside.box.bash("ip route add 10.64.0.0/16 via 192.0.2.1")
    assert street.ask(street.outside, NODE, 8080) is None, "but nobody comes straight to the node"


async def test_nodes_do_not_come_in_at_published_ports(street: Street) -> None:
    await street.publish(Publication(80, NODE, 8080))
    for address, pid in street.host.nodes.items():
        assert street.ask(street.host, "192.0.2.1", 80, pid) is None, address
        assert street.ask(street.host, "10.64.0.1", 80, pid) is None, address


async def test_a_port_of_either_protocol_is_its_own(street: Street) -> None:
    street.host.echo(street.host.nodes[SIBLING], 5353)
    await street.publish(Publication(53, NODE, 8080), Publication(53, SIBLING, 5353, Protocol.UDP))
    assert street.ask(street.outside, "192.0.2.1", 53) == "192.0.2.2"
    assert street.outside.sends(None, "192.0.2.1", 500, port=53)


async def test_a_withdrawn_port_leads_nowhere_and_a_changed_one_elsewhere(street: Street) -> None:
    await street.publish(Publication(80, NODE, 8080), Publication(81, OTHER, 8080))
    await street.publish(Publication(81, SIBLING, 8080))
    assert street.ask(street.outside, "192.0.2.1", 80) is None
    assert street.ask(street.outside, "192.0.2.1", 81) == "192.0.2.2"
    await street.host.box.bash('ip link set "v$1" down', str(street.host.nodes[OTHER]))
    assert street.ask(street.outside, "192.0.2.1", 81) == "192.0.2.2", "it is not the former node that answers"
    await street.publish()
    assert street.ask(street.outside, "192.0.2.1", 81) is None


async def test_a_flow_that_never_pauses_goes_where_its_port_leads_now(street: Street) -> None:
    box, away = street.host.box, street.outside
    await box.bash("for which in '' _stream; do echo 1 > /proc/sys/net/netfilter/nf_conntrack_udp_timeout$which; done")
    for address in (NODE, SIBLING):
        box.keep(*box.enter(street.host.nodes[address]), _PYTHON, "-S", "-c", _WHO, address)
    await street.publish(Publication(53, NODE, 5353, Protocol.UDP))
    flow = await asyncio.create_subprocess_exec(
        *away.box.enter(), _PYTHON, "-S", "-c", _FLOW, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert flow.stdout
    assert await flow.stdout.readline() == f"{NODE}\n".encode()
    await street.publish(Publication(53, SIBLING, 5353, Protocol.UDP))
    assert await flow.stdout.readline() == f"{SIBLING}\n".encode()
    flow.kill()
    await flow.wait()


async def test_a_connection_lives_through_changes_and_ends_when_its_port_is_withdrawn(street: Street) -> None:
    box = street.host.box
    box.keep(*box.enter(street.host.nodes[NODE]), _PYTHON, "-S", "-c", _STREAM_BACK)
    kept = Publication(7000, NODE, 7070)
    await street.publish(kept)
    held = await asyncio.create_subprocess_exec(
        *street.outside.box.enter(), _PYTHON, "-S", "-c", _HOLD, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert held.stdin
    assert held.stdout
    said = held.stdout.readline
    assert await said() == b"up\n"
    held.stdin.write(b"\n")
    assert await said() == b"1\n"
    await street.publish(kept, Publication(7001, OTHER, 7070))
    await street.guard("198.51.100.0/24", "192.0.2.0/24")
    await street.host.fabric.remove_segment(street.host.host, SHOP.bridge)
    held.stdin.write(b"\n")
    assert await said() == b"1\n"
    await street.publish()
    held.stdin.write(b"\n")
    # Where the host's own address is on a bridge that is in the firewall's hooks, the reset does not get there.
    assert await said() in {b"ConnectionResetError\n", b"TimeoutError\n"}
    held.stdin.close()
    await held.wait()


async def test_nodes_open_no_connection_to_what_is_guarded(street: Street) -> None:
    node = street.host.nodes[NODE]
    assert street.ask(street.host, "192.0.2.2", 8080, node) == "192.0.2.1"
    await street.guard("192.0.2.2", "192.0.2.0/30", "2001:db8::/32")
    assert street.ask(street.host, "192.0.2.2", 8080, node) is None
    assert street.ask(street.host, "192.0.2.2", 8080) == "192.0.2.1", "the host itself does"
    assert street.ask(street.host, SIBLING, 8080, node) == NODE, "nodes of a cluster go on reaching each other"
    await street.publish(Publication(80, NODE, 8080))
    assert street.ask(street.outside, "192.0.2.1", 80) == "192.0.2.2", "and answer who comes from there"
    await street.guard()
    assert street.ask(street.host, "192.0.2.2", 8080, node) == "192.0.2.1"


async def test_on_a_host_with_a_route_to_its_nodes_people_reach_them_and_other_nodes_do_not(street: Street) -> None:
    direct = replace(street.host.host, address="192.0.2.1", endpoint=Endpoint.DIRECT, claim=Claim("10.64.0.0/16", 0, 1))
    for each in (WEB, SHOP):
        await street.host.fabric.ensure_segment(direct, each)
    away = street.outside
    await away.box.bash("ip route add 10.64.0.0/16 via 192.0.2.1")
    assert street.ask(away, NODE, 8080) == "192.0.2.2"
    assert street.ask(street.host, OTHER, 8080, street.host.nodes[NODE]) is None, "another cluster's node beside it"
    elsewhere = segment(2)
    other = replace(away.host, address="192.0.2.2", claim=direct.claim)
    await away.fabric.ensure_segment(other, elsewhere)
    stranger = await away.add_node(elsewhere, "10.64.2.10")
    assert street.ask(away, NODE, 8080, stranger) is None, "another cluster's node on another host"
    await away.fabric.ensure_segment(replace(other, claim=None), elsewhere)
    assert street.ask(away, NODE, 8080, stranger) == "192.0.2.2", "the way is there, but for the table"


async def test_nodes_ask_the_hosts_resolvers_even_where_those_are_guarded(street: Street) -> None:
    node = street.host.nodes[NODE]
    for port in (53, 54):
        street.outside.echo(port=port)
    await street.host.box.bash(
        "printf 'nameserver 127.0.0.53\\nnameserver ::1\\nnameserver 192.0.2.2\\n' > /etc/resolv.conf"
    )
    await street.guard("192.0.2.0/24")
    assert street.host.sends(node, "192.0.2.2", 100, port=53)
    assert not street.host.sends(node, "192.0.2.2", 100, port=54)


async def test_ports_and_guards_wait_for_the_first_segment(street: Street) -> None:
    fabric, host = street.host.fabric, street.host.host
    for each in (WEB, SHOP):
        await fabric.remove_segment(host, each.bridge)
    await street.publish(Publication(80, NODE, 8080))
    await street.guard("192.0.2.2")
    assert await street.host.box.bash("nft list tables") == ""
    await fabric.ensure_segment(host, WEB)
    await street.host.box.bash('ip link set "v$1" master talf-br0', str(street.host.nodes[NODE]))
    assert street.ask(street.outside, "192.0.2.1", 80) == "192.0.2.2"
    assert street.ask(street.host, "192.0.2.2", 8080, street.host.nodes[NODE]) is None
