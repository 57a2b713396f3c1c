"""What is answered of hosts and of published ports."""

from collections.abc import Sequence

from api.schemas import Answer, ErrorOut, Link, Moment, NodeOut
from domain.hosts import CheckState, Endpoint, HostState
from domain.publications import Protocol


class SizeOut(Answer):
    """How much of a machine there is; zeros until it was measured."""

    cpus: float
    memory_bytes: int
    disk_bytes: int


class UnreachableOut(Answer):
    """Since when a host does not answer, and what there was instead of an answer."""

    since: Moment
    reason: str


class HostOut(Answer):
    """A host. `operation_id` is the operation that is about it now; `error` is why the last one failed.

    `unreachable` is null as long as it answers, which is looked at all the time; else it takes no new nodes.
    `size` is what the machine has, `free` what it had left at `measured_at`, `reserved` the sum of its nodes' sizes;
    `node_limit` is how many nodes it has user ids for. `network` is what nodes' addresses come from, `fabric_address`
    where other hosts reach it.
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
    state: HostState
    cordoned: bool
    unreachable: UnreachableOut | None
    endpoint: Endpoint
    fabric_address: str
    device: str
    mtu: int
    network: str | None
    size: SizeOut
    free: SizeOut
    reserved: SizeOut
    node_count: int
    node_limit: int
    capabilities: Sequence[str]
    error: ErrorOut | None
    operation_id: str | None
    measured_at: Moment | None
    created_at: Moment
    updated_at: Moment


class CheckOut(Answer):
    """One line of a host's report: what was looked at, what it means for clusters, and what mends it."""

    name: str
    state: CheckState
    detail: str
    meaning: str
    remedy: str


class HostReportOut(Answer):
    """What was last measured of a host, and when."""

    checks: Sequence[CheckOut]
    measured_at: Moment | None


class PreviewOut(Answer):
    """What a machine can do, and what preparing it would change: a sentence each, none if it is prepared."""

    report: HostReportOut
    changes: Sequence[str]


class ClusterRefOut(Answer):
    """Which cluster something belongs to."""

    id: str
    name: str


class HostNodeOut(NodeOut):
    """A node on a host, and its cluster."""

    cluster: ClusterRefOut


class PublicationOut(Answer):
    """A port that leads to a cluster's nodes. `addresses` are where: one on each of its hosts that publish ports."""

    host_port: int
    node_port: int
    protocol: Protocol
    addresses: Sequence[str]
    created_at: Moment


class HostListOut(Answer):
    """Hosts, oldest first."""

    hosts: Sequence[HostOut]
    links: Sequence[Link]


class HostNodeListOut(Answer):
    """Nodes on a host, oldest first."""

    nodes: Sequence[HostNodeOut]
    links: Sequence[Link]


class PublicationListOut(Answer):
    """Published ports of a cluster, by port and protocol."""

    publications: Sequence[PublicationOut]
    links: Sequence[Link]
