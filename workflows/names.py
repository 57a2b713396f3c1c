"""Names and inputs of workflows: all that those who start them need to know. Standard library and domain only."""

from dataclasses import dataclass

from domain.overlays import DEFAULT_OVERLAY

CREATE_CLUSTER = "CreateCluster"
GROW_CLUSTER = "GrowCluster"
SHRINK_CLUSTER = "ShrinkCluster"
CONFIGURE_OVERLAY = "ConfigureOverlay"
LOAD_IMAGE = "LoadImage"
HEAL_CLUSTER = "HealCluster"
MOVE_NODES = "MoveNodes"
PUBLISH_PORTS = "PublishPorts"
DELETE_CLUSTER = "DeleteCluster"
PREPARE_HOST = "PrepareHost"
DRAIN_HOST = "DrainHost"
REMOVE_HOST = "RemoveHost"
SWEEP_ORPHANS = "SweepOrphans"
SWEEP_CLUSTER = "SweepCluster"

SEARCH_CLUSTER = "CarinaCluster"
SEARCH_TENANT = "CarinaTenant"
SEARCH_OPERATION = "CarinaOperation"
SEARCH_ATTRIBUTES = (SEARCH_CLUSTER, SEARCH_TENANT, SEARCH_OPERATION)
"""Custom search attributes, all of the type Keyword: the cluster's name, its owner, the operation's kind."""

PROGRESS_QUERY = "progress"


def task_queue(prefix: str) -> str:
    """Return the task queue of the instance with that prefix. Its own: the tasks of one are nothing to another."""
    return f"carina-{prefix}"


def cluster_workflow_id(cluster_id: str) -> str:
    """Return the workflow id that all changes to a cluster share: the server's own lock on it."""
    return f"cluster-{cluster_id}"


def host_workflow_id(host_id: str) -> str:
    """Return the workflow id that all changes to a host share."""
    return f"host-{host_id}"


@dataclass(frozen=True)
class ClusterChange:
    """What every change to a cluster starts from: whose operation it is, on which cluster, named how."""

    operation_id: str
    cluster_id: str
    cluster_name: str
    tenant_id: str


@dataclass(frozen=True)
class CreateClusterInput(ClusterChange):
    """Make a cluster of `node_count` nodes; `retain` keeps the pieces of a failed one for a look.

    `overlay` is the overlay network that it begins with; an empty one is none.
    """

    node_count: int = 1
    retain: bool = False
    overlay: str = DEFAULT_OVERLAY


@dataclass(frozen=True)
class GrowClusterInput(ClusterChange):
    """Add `add` workers, all of them or none."""

    add: int = 1


@dataclass(frozen=True)
class ShrinkClusterInput(ClusterChange):
    """Remove the `remove` newest workers."""

    remove: int = 1


@dataclass(frozen=True)
class ConfigureOverlayInput(ClusterChange):
    """Make and prove the overlay network named, or, with `remove`, take it away.

    As a child of a create, `part_of_change` is set: the parent then records the result. A cluster that is known not to
    span hosts has nothing to prove between them.
    """

    overlay: str = ""
    remove: bool = False
    part_of_change: bool = False
    spans_hosts: bool = True


@dataclass(frozen=True)
class LoadImageInput(ClusterChange):
    """Put the container images of the archive with that digest on every node of the cluster."""

    digest: str = ""


@dataclass(frozen=True)
class HealClusterInput(ClusterChange):
    """Start the cluster's nodes that have stopped, and wait until they are members again."""


@dataclass(frozen=True)
class MoveNodesInput(ClusterChange):
    """Put workers elsewhere in the place of those that the cluster has on a host: new ones in, then old ones out.

    `dead` says that the host is gone for good: nothing is tried on it.
    """

    host_id: str = ""
    dead: bool = False


@dataclass(frozen=True)
class PublishPortsInput(ClusterChange):
    """Publish the port that the operation's row names, or, with `withdraw`, let it lead to the cluster no more."""

    withdraw: bool = False


@dataclass(frozen=True)
class DeleteClusterInput(ClusterChange):
    """Delete the cluster, whatever state it is in."""


@dataclass(frozen=True)
class PrepareHostInput:
    """Prepare a host and bring its clusters' networks and nodes back."""

    operation_id: str
    host_id: str
    host_name: str


@dataclass(frozen=True)
class DrainHostInput:
    """Move all nodes that can be moved off a host."""

    operation_id: str
    host_id: str
    host_name: str


@dataclass(frozen=True)
class RemoveHostInput:
    """Take back what a host was given, and forget it; with `force`, although it carries nodes or does not answer."""

    operation_id: str
    host_id: str
    host_name: str
    force: bool = False


@dataclass(frozen=True)
class SweepOrphansInput:
    """Look at every host for what has no row. `grace_s` is in seconds."""

    grace_s: int = 900


@dataclass(frozen=True)
class HostOrphans:
    """What a cluster that is no more left on a host."""

    host_id: str
    host_name: str
    containers: list[str]
    bridges: list[str]


@dataclass(frozen=True)
class SweepClusterInput:
    """Remove what a cluster that is no more left on hosts."""

    cluster_id: str
    hosts: list[HostOrphans]
