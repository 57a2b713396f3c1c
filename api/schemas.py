"""What is answered: the contract's fields, and ours beside them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic.json_schema import WithJsonSchema

from domain.clusters import ClusterStatus, Health, Severity
from domain.images import ImageState
from domain.nodes import NodeRole, NodeState
from domain.operations import OperationKind, OperationState, StepState
from domain.options import ClusterOptions
from domain.overlays import OverlayState


def to_rfc3339(moment: datetime) -> str:
    """Return a time as it is written on the wire."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment = Annotated[datetime, PlainSerializer(to_rfc3339), WithJsonSchema({"type": "string", "format": "date-time"})]
"""A time on the wire: RFC 3339, UTC, milliseconds, with a Z."""


class Answer(BaseModel):
    """Base of what is answered; read from the store's views by attribute."""

    model_config = ConfigDict(from_attributes=True)


class NodeSizeOut(Answer):
    """What each node may use; 0 is no limit."""

    cpus: float
    memory_bytes: int
    disk_bytes: int


class ClusterTypeOut(Answer):
    """What a cluster can be made of. Each node has that `size`; hosts need the capabilities that it `requires`."""

    id: int
    name: str
    coe: str
    version: str
    host_type: str
    active: bool
    size: NodeSizeOut
    requires: Sequence[str]


class ConditionOut(Answer):
    """Something that people should know about a cluster, or about one node or host of it.

    A "fault" degrades the cluster's health; a "limit" is what its hosts can't do, and does not.
    """

    type: str
    severity: Severity
    message: str
    since: str
    node: str | None
    host: str | None


class CapabilityOut(Answer):
    """Something that a cluster was found to do, or not to do, by trying."""

    name: str
    works: bool
    detail: str
    verified_at: Moment


class OptionsOut(Answer):
    """What was chosen for a cluster. Networks are those of Kubernetes. `hosts` are the only ones, if there are any."""

    network: str | None
    pod_subnet: str | None
    service_subnet: str | None
    registry_mirrors: Mapping[str, str]
    insecure_registries: Sequence[str]
    hosts: Sequence[str]
    not_hosts: Sequence[str]


def _options(options: ClusterOptions) -> OptionsOut:
    """Put a cluster's options into the wire's words: a Swarm has no pods, so none of what is theirs."""
    return OptionsOut(
        network=options.network if options.pod_subnet else None,
        pod_subnet=options.pod_subnet or None,
        service_subnet=options.service_subnet or None,
        registry_mirrors=dict(options.registry_mirrors),
        insecure_registries=options.insecure_registries,
        hosts=options.hosts,
        not_hosts=options.not_hosts,
    )


class ErrorOut(Answer):
    """Why a change failed."""

    code: str
    title: str
    detail: str
    remedy: str


class ClusterOut(Answer):
    """A cluster. `operation_id` is the operation that is changing it now."""

    id: str
    name: str
    status: ClusterStatus
    node_count: int
    cluster_type: ClusterTypeOut = Field(validation_alias="type")
    created_at: Moment
    updated_at: Moment
    health: Health
    conditions: Sequence[ConditionOut]
    capabilities: Sequence[CapabilityOut]
    options: Annotated[OptionsOut, BeforeValidator(_options)]
    error: ErrorOut | None
    endpoint: str | None
    subnet: str | None
    operation_id: str | None


class NodeOut(Answer):
    """A node of a cluster. `endpoint` is where its native API is reached, if it has one."""

    id: str
    name: str
    role: NodeRole
    state: NodeState
    address: str
    host: str
    container: str
    endpoint: str | None
    created_at: Moment


class OverlayOut(Answer):
    """An overlay network of a cluster; without a subnet, a namespace that exposes `services`. `mtu` is in bytes."""

    name: str
    subnet: str | None
    mtu: int
    attachable: bool
    encrypted: bool
    services: Sequence[str]
    state: OverlayState
    error: ErrorOut | None
    verified_at: Moment | None
    created_at: Moment


class ImageOut(Answer):
    """An archive of container images that was loaded into a cluster. `digest` is that of the archive's bytes."""

    digest: str
    names: Sequence[str]
    size_bytes: int
    state: ImageState
    error: ErrorOut | None
    created_at: Moment


class StepOut(Answer):
    """One attempt of one step of an operation. `note` is what people should know of how it went."""

    name: str
    title: str
    node: str | None
    host: str | None
    attempt: int
    state: StepState
    error: ErrorOut | None
    note: str | None
    started_at: Moment
    ended_at: Moment | None


class OperationSummaryOut(Answer):
    """An operation, as it stands in lists."""

    id: str
    cluster_id: str | None
    host_id: str | None
    kind: OperationKind
    state: OperationState
    error: ErrorOut | None
    workflow_id: str
    run_id: str | None
    created_at: Moment
    started_at: Moment | None
    ended_at: Moment | None


class OperationOut(OperationSummaryOut):
    """An operation with every attempt of every step. `revision` changes whenever its state or a step does."""

    revision: str
    steps: Sequence[StepOut]


class Link(Answer):
    """Where a list goes on. `href` is relative to the API's root."""

    rel: Literal["next"] = "next"
    href: str


class ClusterListOut(Answer):
    """Clusters, oldest first."""

    clusters: Sequence[ClusterOut]
    links: Sequence[Link]


class NodeListOut(Answer):
    """Nodes of a cluster, oldest first."""

    nodes: Sequence[NodeOut]
    links: Sequence[Link]


class OverlayListOut(Answer):
    """Overlay networks of a cluster, by name."""

    overlays: Sequence[OverlayOut]
    links: Sequence[Link]


class ImageListOut(Answer):
    """Images that were loaded into a cluster, oldest first, all of them."""

    images: Sequence[ImageOut]
    links: Sequence[Link]


class OperationListOut(Answer):
    """Operations on a cluster, oldest first."""

    operations: Sequence[OperationSummaryOut]
    links: Sequence[Link]


class ClusterTypeListOut(Answer):
    """All cluster types."""

    cluster_types: Sequence[ClusterTypeOut]


class HealthOut(Answer):
    """The process serves."""

    status: Literal["ok"] = "ok"


class ReadinessOut(Answer):
    """Whether every part of the service answers; a part that does not says why."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, str]


class AboutOut(Answer):
    """What this is."""

    name: str
    version: str
    api_versions: Sequence[str]
    docs: str


class ErrorItemOut(Answer):
    """One error. `min_version` and `max_version` come with status 406 only, `host_key` with `host-key-unconfirmed`."""

    code: str
    title: str
    detail: str
    status: int
    request_id: str
    links: Sequence[str]
    remedy: str
    field: str | None = None
    min_version: str | None = None
    max_version: str | None = None
    host_key: str | None = None


class ErrorsOut(Answer):
    """What every error is answered with."""

    errors: Sequence[ErrorItemOut]
