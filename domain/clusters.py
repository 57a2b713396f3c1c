"""Clusters: their types, states and the checks on what people ask for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import Conflict, InvalidInput

MAX_NAME_CHARS = 40
MAX_NODES = 100
_NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$")


class ClusterStatus(StrEnum):
    """Where a cluster is in its life. Whether it works is another question: see `Health`."""

    CREATING = "creating"
    ACTIVE = "active"
    RESIZING = "resizing"
    DELETING = "deleting"
    ERROR = "error"
    DELETED = "deleted"


class Health(StrEnum):
    """Whether a cluster works, apart from what is being changed on it."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    DEGRADED = "degraded"


LEGAL_MOVES: Mapping[ClusterStatus, frozenset[ClusterStatus]] = {
    ClusterStatus.CREATING: frozenset({ClusterStatus.ACTIVE, ClusterStatus.ERROR, ClusterStatus.DELETING}),
    ClusterStatus.ACTIVE: frozenset({ClusterStatus.RESIZING, ClusterStatus.DELETING}),
    ClusterStatus.RESIZING: frozenset({ClusterStatus.ACTIVE, ClusterStatus.DELETING}),
    ClusterStatus.ERROR: frozenset({ClusterStatus.DELETING}),
    ClusterStatus.DELETING: frozenset({ClusterStatus.DELETED}),
    ClusterStatus.DELETED: frozenset(),
}
"""Which status may follow which. A delete never goes back: it goes on until it is done."""


def check_move(current: ClusterStatus, wanted: ClusterStatus) -> None:
    """Raise `Conflict` unless `wanted` may follow `current`. Staying is always legal."""
    if wanted is not current and wanted not in LEGAL_MOVES[current]:
        raise Conflict(f"A cluster that is {current} can't become {wanted}.")


@dataclass(frozen=True, slots=True)
class ClusterType:
    """What a cluster can be made of: an orchestrator (`coe`) in a version, on a kind of node (`host_type`)."""

    id: int
    name: str
    coe: str
    host_type: str = "lxc"
    active: bool = True


SWARM = ClusterType(id=22, name="Docker Swarm 26.1 on LXC", coe="swarm")
CLUSTER_TYPES: Mapping[int, ClusterType] = {SWARM.id: SWARM}


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that people should know about a cluster: `since` is an ISO 8601 time in UTC."""

    type: str
    message: str
    since: str
    node: str | None = None


def check_name(name: str, *, field: str = "name") -> str:
    """Return `name` if it can name a cluster, else raise `InvalidInput`. Nodes' host names are made from it."""
    if not name:
        raise InvalidInput("A cluster needs a name; this one is empty.", field=field, remedy="Send a name.")
    if len(name) > MAX_NAME_CHARS:
        raise InvalidInput(
            f"The name has {len(name)} characters; {MAX_NAME_CHARS} are the most.",
            field=field,
            remedy="Choose a shorter name.",
        )
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"The name {name!r} has characters that a host name can't have.",
            field=field,
            remedy="Use letters, digits and inner hyphens (RFC 1123).",
        )
    return name


def check_node_count(count: int, *, field: str = "node_count") -> int:
    """Return `count` if a cluster may have so many nodes, else raise `InvalidInput`."""
    if not 1 <= count <= MAX_NODES:
        raise InvalidInput(
            f"A cluster has 1 to {MAX_NODES} nodes; {count} were asked for.",
            field=field,
            remedy=f"Send a number from 1 to {MAX_NODES}.",
        )
    return count


def find_type(type_id: int, *, field: str = "cluster_type_id") -> ClusterType:
    """Return the cluster type with that id, else raise `InvalidInput` naming those that there are."""
    found = CLUSTER_TYPES.get(type_id)
    if found is None or not found.active:
        known = ", ".join(f"{kind.id} ({kind.name})" for kind in CLUSTER_TYPES.values() if kind.active)
        raise InvalidInput(f"There is no cluster type {type_id}.", field=field, remedy=f"Choose one of: {known}.")
    return found
