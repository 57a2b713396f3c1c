"""The API's JSON as it comes over the wire. Times are RFC 3339 in UTC. Fields not named here are passed through.

Fields that are marked as not required came later than the others: a service of an earlier version leaves them out.
"""

import uuid
from typing import NotRequired, TypedDict


class Problem(TypedDict, total=False):
    """An error: one of an answer's `errors`, or what an operation, step, cluster or host carries.

    `host_key` comes with the code host-key-unconfirmed.
    """

    code: str
    title: str
    detail: str
    remedy: str
    request_id: str
    host_key: str


class ClusterType(TypedDict):
    """What a cluster can be made of."""

    id: int
    name: str
    coe: str
    host_type: str
    active: bool
    version: NotRequired[str]


class Options(TypedDict, total=False):
    """What may be chosen of a cluster when it is made. `node_subnet` is only asked for: a cluster has a `subnet`."""

    network: str
    pod_subnet: str
    service_subnet: str
    node_subnet: str
    registry_mirrors: dict[str, str]
    insecure_registries: list[str]
    hosts: list[str]
    not_hosts: list[str]


class Capability(TypedDict):
    """Something that a cluster was seen to do, or not to do."""

    name: str
    works: bool
    detail: str
    verified_at: str


class Condition(TypedDict):
    """Something that people should know about a cluster."""

    type: str
    message: str
    since: str
    node: str | None


class Cluster(TypedDict):
    """A cluster."""

    id: str
    name: str
    status: str
    health: str
    conditions: list[Condition]
    node_count: int
    cluster_type: ClusterType
    endpoint: str | None
    subnet: str | None
    error: Problem | None
    operation_id: str | None
    created_at: str
    updated_at: str
    options: NotRequired[Options]
    capabilities: NotRequired[list[Capability]]


class Node(TypedDict):
    """A node of a cluster."""

    id: str
    name: str
    role: str
    state: str
    address: str
    host: str
    container: str
    endpoint: str | None
    created_at: str


class NewOverlay(TypedDict):
    """What an overlay network is asked for with."""

    name: str
    subnet: NotRequired[str]
    attachable: NotRequired[bool]
    encrypted: NotRequired[bool]
    services: NotRequired[list[str]]


class Overlay(TypedDict):
    """An overlay network of a cluster; on Kubernetes also a namespace that exposes `services` only."""

    name: str
    subnet: str | None
    mtu: int
    attachable: bool
    encrypted: bool
    state: str
    error: Problem | None
    verified_at: str | None
    created_at: str
    services: NotRequired[list[str]]


class Image(TypedDict):
    """An image that was loaded into a cluster."""

    digest: str
    names: list[str]
    size_bytes: int
    state: str
    error: Problem | None
    created_at: str


class Step(TypedDict):
    """One attempt of one step of an operation."""

    name: str
    title: str
    node: str | None
    host: str | None
    attempt: int
    state: str
    error: Problem | None
    started_at: str
    ended_at: str | None
    note: NotRequired[str | None]


class Operation(TypedDict):
    """An operation. `steps` and `revision`, which changes with any of them, are there when it is read by its id."""

    id: str
    cluster_id: str | None
    host_id: str | None
    kind: str
    state: str
    error: Problem | None
    workflow_id: str
    run_id: str | None
    created_at: str
    started_at: str | None
    ended_at: str | None
    steps: list[Step]
    revision: NotRequired[str]


class Readiness(TypedDict):
    """The service's own account of itself."""

    status: str
    checks: dict[str, str]


def is_id(text: str) -> bool:
    """Tell whether `text` is written as ids are: a UUID with hyphens."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
