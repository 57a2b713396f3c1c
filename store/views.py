"""What the store answers to readers: frozen, complete, and free of the ORM. Times are aware and in UTC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from domain.clusters import ClusterStatus, ClusterType, Condition, Health
from domain.errors import ErrorRecord
from domain.hosts import Check, Endpoint, HostState, Unreachable
from domain.images import ImageState
from domain.nodes import NodeRole, NodeState
from domain.operations import OperationKind, OperationState, StepState
from domain.options import ClusterOptions
from domain.overlays import OverlayState
from domain.publications import Protocol
from domain.sizes import Size

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some of a list, oldest first. `next_marker` is the id to continue after, None at the end."""

    items: Sequence[Item]
    next_marker: str | None


@dataclass(frozen=True, slots=True)
class CapabilityView:
    """Something that a cluster was found to do, or not to do, and when."""

    name: str
    works: bool
    detail: str
    verified_at: datetime


@dataclass(frozen=True, slots=True)
class ClusterView:
    """A cluster. `operation_id` is the operation that is changing it now, if one is."""

    id: str
    tenant_id: str
    name: str
    type: ClusterType
    options: ClusterOptions
    status: ClusterStatus
    health: Health
    conditions: Sequence[Condition]
    capabilities: Sequence[CapabilityView]
    node_count: int
    subnet: str | None
    endpoint: str | None
    error: ErrorRecord | None
    operation_id: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node of a cluster. `endpoint` is where its native API is reached, if it has one."""

    id: str
    name: str
    role: NodeRole
    state: NodeState
    address: str
    host: str
    container: str
    endpoint: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class HostView:
    """A host. `operation_id` is the operation that is about it now, `error` is why the last one failed.

    `network` is the node network that it has claimed, `free` what it had left when it was measured, `reserved` the sum
    of its nodes' sizes, `node_limit` how many nodes it has user ids for. `root` is where it keeps all that the instance
    has there.
    """

    id: str
    name: str
    address: str
    root: str
    user: str
    port: int
    identity: str
    host_key: str
    fingerprint: str
    zone: str
    state: HostState
    cordoned: bool
    unreachable: Unreachable | None
    endpoint: Endpoint
    fabric_address: str
    device: str
    mtu: int
    network: str | None
    size: Size
    free: Size
    reserved: Size
    node_count: int
    node_limit: int
    capabilities: Sequence[str]
    error: ErrorRecord | None
    operation_id: str | None
    measured_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class HostReportView:
    """What was last measured of a host, and when; nothing was before that."""

    checks: Sequence[Check]
    measured_at: datetime | None


@dataclass(frozen=True, slots=True)
class HostNodeView:
    """A node on a host, and whose it is."""

    node: NodeView
    cluster_id: str
    cluster_name: str


@dataclass(frozen=True, slots=True)
class PublicationView:
    """A port that leads to a cluster. `addresses` are where it is reached: one on each host that publishes it."""

    host_port: int
    node_port: int
    protocol: Protocol
    addresses: Sequence[str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class OverlayView:
    """An overlay network of a cluster. `mtu` is in bytes; `verified_at` is when it was last proved.

    One without a subnet is a namespace, of which `services` can be reached from outside.
    """

    name: str
    subnet: str | None
    mtu: int
    attachable: bool
    encrypted: bool
    services: Sequence[str]
    state: OverlayState
    error: ErrorRecord | None
    verified_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ImageView:
    """An archive of container images that was loaded into a cluster."""

    digest: str
    names: Sequence[str]
    size_bytes: int
    state: ImageState
    error: ErrorRecord | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StepView:
    """One attempt of one step of an operation. `note` is what people should know of how it went."""

    name: str
    node: str | None
    host: str | None
    attempt: int
    state: StepState
    error: ErrorRecord | None
    note: str | None
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class OperationView:
    """An operation. `params` are what its workflow is started with, beyond the cluster; never secret."""

    id: str
    tenant_id: str
    kind: OperationKind
    state: OperationState
    cluster_id: str | None
    cluster_name: str | None
    host_id: str | None
    params: Mapping[str, object]
    error: ErrorRecord | None
    workflow_id: str
    run_id: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    steps: Sequence[StepView] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A change that was accepted: stored, and now to be started.

    `replayed` says that the same request with the same Idempotency-Key was accepted before; nothing is to be
    started then. `cancel` is the running operation that a forced delete pushes aside.
    """

    operation: OperationView
    cluster: ClusterView
    replayed: bool = False
    cancel: OperationView | None = None


@dataclass(frozen=True, slots=True)
class HostAccepted:
    """A change to a host that was accepted, as `Accepted` is one to a cluster."""

    operation: OperationView
    host: HostView
    replayed: bool = False
    cancel: OperationView | None = None


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """What a client sent as Idempotency-Key, and a digest of the request that came with it."""

    key: str
    request_digest: str
