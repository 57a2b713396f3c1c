"""Machines of tests' own that are wired to each other, and nodes on them."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from sandbox import _PYTHON, Sandbox, sandbox

from domain.hosts import Host
from domain.instance import Instance
from domain.nodes import Neighbour, Segment, hardware_address
from drivers.fabric import LinuxFabric

INSTANCE = Instance("talf")
WIRE_MTU = 1450
MTU = WIRE_MTU - 50
ROOT = "/var/tmp/host"
PODS = "10.244.0.0/16"

_ECHO = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("0.0.0.0", int(sys.argv[1])))
    print("up", flush=True)
    while True:
        data, peer = server.recvfrom(65535)
        server.sendto(data, peer)
"""

_SEND = """
import socket, sys
address, port, size, source = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
    client.settimeout(0.7)
    client.bind((source, 0))
    client.sendto(bytes(size), (address, port))
    print(len(client.recv(65535)))
"""


@dataclass
class Machine:
    """One host: its sandbox, its record, and the processes that keep its nodes' networks, by address."""

    box: Sandbox
    host: Host
    nodes: dict[str, int] = field(default_factory=dict)

    @property
    def fabric(self) -> LinuxFabric:
        return LinuxFabric(INSTANCE, self.box.shells)

    async def add_node(self, segment: Segment, address: str) -> int:
        """Attach a network like a node's to the bridge of a segment, and listen in it on TCP port 8080."""
        pid = self.nodes[address] = self.box.network()
        await self.box.bash(
            'ip link add "v$1" type veth peer name eth0 netns "$1"; ip link set "v$1" mtu "$5" master "$2" up; '
            'inside="nsenter -t $1 -n"; $inside ip link set eth0 address "$6" mtu "$5"; '
            '$inside ip address add "$3/24" dev eth0; $inside ip link set eth0 up; '
            '$inside ip route add default via "$4"',
            str(pid), segment.bridge, address, segment.gateway, str(segment.mtu), hardware_address(address),
        )  # fmt: skip
        self.box.listen(pid)
        return pid

    def echo(self, pid: int | None = None, port: int = 9090) -> None:
        """Send back what comes in on a UDP port in the network of `pid`."""
        self.box.keep(*self.box.enter(pid), _PYTHON, "-S", "-c", _ECHO, str(port))

    def sends(self, pid: int | None, address: str, size: int, *, port: int = 9090, source: str = "") -> bool:
        """Return whether a packet of `size` bytes, not to be fragmented, comes back from the echo at `address`."""
        command = (*self.box.enter(pid), _PYTHON, "-S", "-c", _SEND, address, str(port), str(size - 28), source)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip() == str(size - 28)


def segment(slot: int, pods: str = "") -> Segment:
    return Segment(
        f"cluster-{slot}", INSTANCE.bridge(slot), f"10.64.{slot}.0/24", f"10.64.{slot}.1", MTU, pod_cidr=pods
    )


def neighbours(of: Segment, *machines: Machine) -> list[Neighbour]:
    """The nodes of a segment that are on `machines`."""
    network = of.cidr.removesuffix("0/24")
    return [
        Neighbour(address, machine.host.fabric_address)
        for machine in machines
        for address in machine.nodes
        if address.startswith(network)
    ]


async def join(of: Segment, *machines: Machine) -> None:
    """Ensure a segment on machines, each with the nodes of all the others as its neighbours."""
    for machine in machines:
        others = neighbours(of, *(each for each in machines if each is not machine))
        await machine.fabric.ensure_segment(machine.host, of, others)


def call(box: Sandbox, script: str, *args: str) -> None:
    """Run a script on a machine, without a running event loop."""
    subprocess.run((*box.enter(), "bash", "-euc", script, "call", *args), check=True)


@contextmanager
def wired(count: int = 2, *, bridge_nf: bool = False) -> Iterator[list[Machine]]:
    """Machines at 192.0.2.1 and so on, each wired to the first."""
    with ExitStack() as stack:
        boxes = [stack.enter_context(sandbox()) for _ in range(count)]
        machines = [
            Machine(box, Host(f"h{n}", f"rack{n}", "local", ROOT, fabric_address=f"192.0.2.{n}"))
            for n, box in enumerate(boxes, 1)
        ]
        for machine in machines:
            call(
                machine.box,
                'echo "$1" > /proc/sys/net/bridge/bridge-nf-call-iptables; echo 1 > /proc/sys/net/ipv4/ip_forward; '
                'ip link add wires type bridge; ip link set wires mtu "$2" up; ip address add "$3/24" dev wires',
                str(int(bridge_nf)), str(WIRE_MTU), machine.host.fabric_address,
            )  # fmt: skip
        for n, machine in enumerate(machines[1:], 2):
            call(
                machines[0].box,
                'ip link add "wire$2" type veth peer name wire netns "$1"; '
                'ip link set "wire$2" mtu "$3" master wires up; '
                'nsenter -t "$1" -n ip link set wire mtu "$3" master wires up',
                str(machine.box._pid), str(n), str(WIRE_MTU),
            )  # fmt: skip
        for machine in machines[1:]:  # a new wire loses the first packets
            assert any(machine.box.pings(machines[0].host.fabric_address) for _ in range(10))
        yield machines
