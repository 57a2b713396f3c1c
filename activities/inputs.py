"""What activities take. References only: nothing here may ever be secret, since all of it lands in histories."""

from dataclasses import dataclass

from domain.errors import ErrorRecord
from domain.nodes import NodeRef


@dataclass(frozen=True)
class Step:
    """A step of an operation on a cluster, on one of its nodes if `node` is given.

    Operations on hosts, and steps of maintenance, leave empty what they have no id for.
    """

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
class HostsStep(Step):
    """A step that concerns hosts, by their names; None is all of them."""

    hosts: list[str] | None = None


@dataclass(frozen=True)
class OverlayStep(Step):
    """A step that concerns an overlay network."""

    overlay: str = ""


@dataclass(frozen=True)
class ImageStep(Step):
    """A step that concerns a container image, by the digest of its archive."""

    digest: str = ""


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


@dataclass(frozen=True)
class MoveStep(HostStep):
    """A step that moves nodes off a host; one that is `dead` is not asked for anything."""

    dead: bool = False


@dataclass(frozen=True)
class Orphan:
    """Something on a host that carries this instance's stamp and has no row, past the grace period."""

    cluster_id: str
    container: str | None = None
    bridge: str | None = None


@dataclass(frozen=True)
class OrphanStep(HostStep):
    """A step that removes one orphan."""

    orphan: Orphan | None = None


@dataclass(frozen=True)
class InspectStep(HostStep):
    """A comparison of a host with the records. `grace_s` is how long an orphan has to be seen before it counts."""

    grace_s: int = 900
