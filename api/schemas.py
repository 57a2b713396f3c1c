"""What goes over the wire: the contract's fields, and ours beside them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StrictBool, StrictInt, StrictStr
from pydantic.json_schema import WithJsonSchema

from domain.clusters import ClusterStatus, Health
from domain.nodes import NodeRole, NodeState
from domain.operations import OperationKind, OperationState, StepState
from domain.overlays import OverlayState


def _to_rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _type_id(value: object) -> int:
    """Take a cluster type's id as clients send it: a number, or a number in quotes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MAX_TYPE_DIGITS:
        return int(value)
    raise ValueError("a cluster type's id is a whole number, such as 22")


_MAX_TYPE_DIGITS = 9
Moment = Annotated[datetime, PlainSerializer(_to_rfc3339), WithJsonSchema({"type": "string", "format": "date-time"})]
"""A time on the wire: RFC 3339, UTC, milliseconds, with a Z."""
TypeId = Annotated[
    int,
    BeforeValidator(_type_id),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^[0-9]+$"}]}),
]


class Answer(BaseModel):
    """Base of what is answered; read from the store's views by attribute."""

    model_config = ConfigDict(from_attributes=True)


class ClusterTypeOut(Answer):
    """What a cluster can be made of."""

    id: int
    name: str
    coe: str
    host_type: str
    active: bool


class ConditionOut(Answer):
    """Something that people should know about a cluster."""

    type: str
    message: str
    since: str
    node: str | None


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
    error: ErrorOut | None
    endpoint: str | None
    subnet: str | None
    operation_id: str | None


class NodeOut(Answer):
    """A node of a cluster."""

    id: str
    name: str
    role: NodeRole
    state: NodeState
    address: str
    host: str
    container: str
    created_at: Moment


class OverlayOut(Answer):
    """An overlay network of a cluster. `mtu` is in bytes."""

    name: str
    subnet: str
    mtu: int
    attachable: bool
    encrypted: bool
    state: OverlayState
    error: ErrorOut | None
    verified_at: Moment | None
    created_at: Moment


class StepOut(Answer):
    """One attempt of one step of an operation."""

    name: str
    title: str
    node: str | None
    host: str | None
    attempt: int
    state: StepState
    error: ErrorOut | None
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
    """One error. `min_version` and `max_version` come with status 406 only."""

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


class ErrorsOut(Answer):
    """What every error is answered with."""

    errors: Sequence[ErrorItemOut]


class CreateClusterIn(BaseModel):
    """A cluster to be made. Fields that are not known are ignored."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "demo", "cluster_type_id": 22, "node_count": 3}]}
    )

    name: StrictStr = Field(description="Letters, digits and inner hyphens; unique without regard to case.")
    cluster_type_id: TypeId
    node_count: StrictInt = 1


class ResizeIn(BaseModel):
    """How many nodes a cluster is to have."""

    node_count: StrictInt


class TaskIn(BaseModel):
    """A change to a cluster."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"type": "resize", "input": {"node_count": 3}}]})

    type: Literal["resize"]
    input: ResizeIn


class CreateOverlayIn(BaseModel):
    """An overlay network to be made. Without `subnet`, Carina chooses one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "back", "subnet": "10.48.7.0/24"}]})

    name: StrictStr
    subnet: StrictStr | None = None
    attachable: StrictBool = True
    encrypted: StrictBool = False
