"""The API's JSON about hosts and published ports. Times are RFC 3339 in UTC, sizes bytes."""

from typing import NotRequired, TypedDict

from carina_cli.shapes import Node, Problem


class Size(TypedDict):
    """How much of a machine there is; zeros until it was measured."""

    cpus: float
    memory_bytes: int
    disk_bytes: int


class Unreachable(TypedDict):
    """Since when a host does not answer, and why."""

    since: str
    reason: str


class NewHost(TypedDict):
    """What a host is added with. What is left out the service chooses or finds out."""

    name: str
    address: str
    user: NotRequired[str]
    port: NotRequired[int]
    identity: NotRequired[str]
    host_key: NotRequired[str]
    zone: NotRequired[str]
    endpoint: NotRequired[str]
    device: NotRequired[str]
    fabric_address: NotRequired[str]


class Host(TypedDict):
    """A machine that carries nodes.

    `size` is what it has, `free` what it had left at `measured_at`, `reserved` the sum of its nodes' sizes.
    """

    id: str
    name: str
    address: str
    user: str
    port: int
    identity: str
    host_key: str
    fingerprint: str
    zone: str
    state: str
    cordoned: bool
    unreachable: Unreachable | None
    endpoint: str
    fabric_address: str
    device: str
    mtu: int
    network: str | None
    size: Size
    free: Size
    reserved: Size
    node_count: int
    node_limit: int
    capabilities: list[str]
    error: Problem | None
    operation_id: str | None
    measured_at: str | None
    created_at: str
    updated_at: str


class Check(TypedDict):
    """One line of a host's report."""

    name: str
    state: str
    detail: str
    meaning: str
    remedy: str


class Report(TypedDict):
    """What was measured of a host."""

    checks: list[Check]
    measured_at: str | None


class Preview(TypedDict):
    """What a machine can do, and what preparing it would change: a sentence each."""

    report: Report
    changes: list[str]


class Owner(TypedDict):
    """The cluster that a node belongs to."""

    id: str
    name: str


class HostNode(Node):
    """A node on a host."""

    cluster: Owner


class Publication(TypedDict):
    """A port of a cluster's hosts that leads to its nodes, and where that is."""

    host_port: int
    node_port: int
    protocol: str
    addresses: list[str]
    created_at: str
