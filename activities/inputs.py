"""What activities take. References only: nothing here may ever be secret, since all of it lands in histories."""

from dataclasses import dataclass

from domain.errors import ErrorRecord
from domain.nodes import NodeRef


@dataclass(frozen=True)
class Step:
    """A step of an operation on a cluster, on one of its nodes if `node` is given."""

    operation_id: str
    cluster_id: str
    node: NodeRef | None = None


@dataclass(frozen=True)
class CountStep(Step):
    """A step that concerns `count` nodes."""

    count: int = 0


@dataclass(frozen=True)
class NodesStep(Step):
    """A step that concerns several nodes at once."""

    node_ids: list[str] | None = None


@dataclass(frozen=True)
class OverlayStep(Step):
    """A step that concerns an overlay network."""

    overlay: str = ""


@dataclass(frozen=True)
class FailStep(Step):
    """The record of a failed or cancelled operation."""

    error: ErrorRecord | None = None
    cancelled: bool = False


@dataclass(frozen=True)
class HostStep:
    """A step on a host, of an operation or (with an empty id) of maintenance."""

    operation_id: str
    host_id: str
    host: str
