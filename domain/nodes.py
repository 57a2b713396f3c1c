"""Nodes: what a member of a cluster is, and what its container is made of."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.hosts import Host
from domain.sizes import Size


class NodeRole(StrEnum):
    """What a node does in its cluster. The manager is the node with index 1, and is never removed by a resize."""

    MANAGER = "manager"
    WORKER = "worker"


class NodeState(StrEnum):
    """Where a node is in its life."""

    RESERVED = "reserved"  # its address, uid range and place are taken; the container may be in the making
    ACTIVE = "active"  # a member of its cluster, counted in node_count
    REMOVING = "removing"  # on its way out, still counted until it has gone
    LEFTOVER = "leftover"  # its cluster is gone but its container could not be removed; a sweep will


@dataclass(frozen=True, slots=True)
class NodeRef:
    """What workflows and progress say of a node: who it is and where, nothing more."""

    id: str
    name: str
    role: NodeRole
    host: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """Says whose a container is. Kept beside the container on its host, so that a sweep can read it."""

    instance: str
    cluster_id: str
    node_id: str
    image: str


@dataclass(frozen=True, slots=True)
class Segment:
    """The network of one cluster on a host: a bridge with the gateway's address.

    `cidr` is the cluster's subnet; `pod_cidr` is the network of its pods, whose packets pass between its nodes.
    """

    cluster_id: str
    bridge: str
    cidr: str
    gateway: str
    mtu: int
    pod_cidr: str = ""

    @property
    def vni(self) -> int:
        """The VXLAN network identifier (RFC 7348) that joins the segment's hosts.

        It is the first 24 bits of the subnet, a /24: as unique as that, and the same on all hosts.
        """
        return int(ipaddress.IPv4Network(self.cidr).network_address) >> 8


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A node of a cluster that is on another host, at `host_address` in the fabric."""

    address: str
    host_address: str

    @property
    def hardware_address(self) -> str:
        """The node's MAC address."""
        return hardware_address(self.address)


def hardware_address(address: str) -> str:
    """Return the MAC address, locally administered (IEEE 802), of whoever has that IPv4 address on a segment.

    It is made of the address, so that it is the same after a reboot, and hosts can tell each other's without asking.
    """
    return "02:ca:" + ":".join(f"{octet:02x}" for octet in ipaddress.IPv4Address(address).packed)


@dataclass(frozen=True, slots=True)
class NodePlan:
    """All that is needed to make a node's container on its host.

    `name` is its host name, `container` the container's name, `uid_base` the first of its 65,536 host uids,
    `veth` the name of the host's end of its interface, `image` the digest of the image it is a snapshot of.
    """

    host: Host
    name: str
    container: str
    role: NodeRole
    address: str
    uid_base: int
    veth: str
    segment: Segment
    stamp: Stamp
    image: str
    size: Size = Size()

    @property
    def hardware_address(self) -> str:
        """The node's MAC address."""
        return hardware_address(self.address)


@dataclass(frozen=True, slots=True)
class NodeFile:
    """A file that stands in a node before it first starts. `path` is absolute inside the node."""

    path: str
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class FoundNode:
    """A container seen on a host, with the stamp that it carries. `age_s` is the time since it was made."""

    container: str
    stamp: Stamp
    running: bool
    age_s: float


@dataclass(frozen=True, slots=True)
class FoundSegment:
    """A bridge seen on a host that carries the instance's prefix."""

    bridge: str
    cluster_id: str | None


@dataclass(frozen=True, slots=True)
class Member:
    """A node as its cluster's orchestrator knows it.

    `public` is the host and port at which its native API is reached from outside, as on a host that publishes ports;
    without it, that is at the node's own address.
    """

    node_id: str
    name: str
    role: NodeRole
    address: str
    public: tuple[str, int] | None = None

    def api(self, port: int) -> tuple[str, int]:
        """Return the host and port at which the native API is reached, which on the node itself has that port."""
        return self.public or (self.address, port)


def manager_of(members: Sequence[Member]) -> Member:
    """Return the one of a cluster's members that manages it."""
    return next(member for member in members if member.role is NodeRole.MANAGER)
