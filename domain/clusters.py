"""Clusters: their types, states and the checks on what people ask for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from domain.errors import Conflict, InvalidInput
from domain.sizes import Size, check_size

MAX_NAME_CHARS = 40
MAX_NODES = 100
_VERSION = re.compile(r"^([0-9]+\.[0-9]+)\.[0-9]+$")
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
    ClusterStatus.ACTIVE: frozenset({ClusterStatus.RESIZING, ClusterStatus.ERROR, ClusterStatus.DELETING}),
    ClusterStatus.RESIZING: frozenset({ClusterStatus.ACTIVE, ClusterStatus.DELETING}),
    ClusterStatus.ERROR: frozenset({ClusterStatus.DELETING}),
    ClusterStatus.DELETING: frozenset({ClusterStatus.DELETED}),
    ClusterStatus.DELETED: frozenset(),
}
"""Which status may follow which. A delete never goes back: it goes on until it is done.

A cluster that was active goes into error only when it can't come back: its manager's host is gone for good.
"""


def check_move(current: ClusterStatus, wanted: ClusterStatus) -> None:
    """Raise `Conflict` unless `wanted` may follow `current`. Staying is always legal."""
    if wanted is not current and wanted not in LEGAL_MOVES[current]:
        raise Conflict(f"A cluster that is {current} can't become {wanted}.")


@dataclass(frozen=True, slots=True)
class ClusterType:
    """What a cluster can be made of: an orchestrator (`coe`) in a version, on a kind of node (`host_type`).

    Each node has that `size`. Only hosts with the capabilities that the type `requires` carry its nodes.
    """

    id: int
    name: str
    coe: str
    version: str
    host_type: str = "lxc"
    active: bool = True
    size: Size = Size()
    requires: tuple[str, ...] = ()


COE_SWARM = "swarm"
COE_KUBERNETES = "kubernetes"
SWARM = ClusterType(id=22, name="Docker Swarm 26.1 on LXC", coe=COE_SWARM, version="26.1")
DEFAULT_KUBERNETES: Mapping[int, str] = {20: "1.35.4"}
"""The Kubernetes versions that there is a cluster type for, by the type's id, unless an operator says otherwise."""


class Severity(StrEnum):
    """Whether a condition says that something has gone wrong. That alone makes a cluster's health worse."""

    FAULT = "fault"  # what should work does not
    LIMIT = "limit"  # what never worked here, because hosts can't do it: good to know, and no ill health


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that people should know about a cluster: `since` is an ISO 8601 time in UTC.

    `node` and `host` are the names of what it is about, if that is less than the whole cluster.
    """

    type: str
    message: str
    since: str
    node: str | None = None
    host: str | None = None
    severity: Severity = Severity.FAULT


@dataclass(frozen=True, slots=True)
class Capability:
    """Something that clusters may or may not do, found out by trying: `detail` says what was tried."""

    name: str
    works: bool
    detail: str


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


def kubernetes_type(type_id: int, version: str) -> ClusterType:
    """Return the cluster type for a version of Kubernetes, such as `1.35.4`; raise `InvalidInput` for no version."""
    found = _VERSION.fullmatch(version)
    if found is None:
        raise InvalidInput(
            f"{version!r} is no version of Kubernetes.", field="kubernetes", remedy="Write it whole, like 1.35.4."
        )
    return ClusterType(type_id, f"Kubernetes {found[1]} on LXC", COE_KUBERNETES, version)


def cluster_types(
    kubernetes: Mapping[int, str] = DEFAULT_KUBERNETES,
    sizes: Mapping[int, Size] = MappingProxyType({}),
    requires: Mapping[int, Sequence[str]] = MappingProxyType({}),
) -> Sequence[ClusterType]:
    """Return what clusters can be made of. Ids are unique.

    Given are, by type id, the versions of Kubernetes, the sizes of nodes, and what their hosts must be capable of.
    Raises `InvalidInput`, with the fields `kubernetes`, `node_sizes` and `host_capabilities`.
    """
    if SWARM.id in kubernetes:
        raise InvalidInput(
            f"The cluster type {SWARM.id} is {SWARM.name}.", field="kubernetes", remedy="Give Kubernetes another id."
        )
    types = (*(kubernetes_type(type_id, version) for type_id, version in sorted(kubernetes.items())), SWARM)
    _check_ids(types, sizes, field="node_sizes")
    _check_ids(types, requires, field="host_capabilities")
    return tuple(
        replace(
            kind,
            size=check_size(sizes.get(kind.id, kind.size), field="node_sizes"),
            requires=tuple(sorted(requires.get(kind.id, kind.requires))),
        )
        for kind in types
    )


def _check_ids(types: Sequence[ClusterType], by_id: Mapping[int, object], *, field: str) -> None:
    known = [kind.id for kind in types]
    unknown = sorted(set(by_id) - set(known))
    if unknown:
        raise InvalidInput(
            f"There is no cluster type {unknown[0]}.",
            field=field,
            remedy=f"Choose from: {', '.join(map(str, known))}.",
        )


def find_type(types: Sequence[ClusterType], type_id: int, *, field: str = "cluster_type_id") -> ClusterType:
    """Return the cluster type with that id, else raise `InvalidInput` naming those that there are."""
    found = next((kind for kind in types if kind.id == type_id), None)
    if found is None or not found.active:
        known = ", ".join(f"{kind.id} ({kind.name})" for kind in types if kind.active)
        raise InvalidInput(f"There is no cluster type {type_id}.", field=field, remedy=f"Choose one of: {known}.")
    return found
