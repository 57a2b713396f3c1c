"""What activities need of the store: records of clusters, nodes and hosts, and of the progress of operations."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from activities.host_ports import HostRecords
from domain.clusters import Capability, Condition
from domain.errors import ErrorRecord
from domain.facts import ClusterFacts, NodeFacts
from domain.hosts import Host, HostReport
from domain.nodes import NodeRef
from domain.overlays import Overlay
from domain.watch import WatchedCluster


class Records(HostRecords, Protocol):
    """The part of the store that activities use. All calls block, and each is one transaction."""

    def begin_operation(self, operation_id: str, *, workflow_id: str, run_id: str) -> bool:
        """Mark a pending operation as running under this run; False if it has ended, or another run has it."""
        ...

    def reserve_nodes(
        self, operation_id: str, count: int, *, tell: Callable[[str], None] | None = None
    ) -> Sequence[NodeRef]:
        """Reserve `count` nodes for the operation's cluster: slot, addresses, uid ranges, hosts, ports, names.

        Called again for the same operation, it returns what it reserved. `tell` hears once why each host was chosen or
        not. Raises `NoRoom`, `NoAddressLeft`, `HostNotReady`.
        """
        ...

    def operation_nodes(self, operation_id: str) -> Sequence[NodeRef]:
        """Return the nodes that the operation reserved and that still have rows."""
        ...

    def set_image(self, operation_id: str, host_id: str, digest: str) -> None:
        """Record the node image that the nodes which the operation reserved on the host are made from."""
        ...

    def release_nodes(self, cluster_id: str, node_ids: Sequence[str]) -> None:
        """Give back what the nodes held, and count the cluster's nodes anew. Nodes not there are no error."""
        ...

    def mark_nodes_leftover(self, cluster_id: str, node_ids: Sequence[str]) -> None:
        """Keep the nodes' reservations for a sweep, because their containers could not be removed."""
        ...

    def choose_removals(self, operation_id: str, count: int) -> Sequence[NodeRef]:
        """Mark the `count` newest workers as removing, and return them: the same ones when called again."""
        ...

    def cluster(self, cluster_id: str) -> ClusterFacts:
        """Return a cluster's facts; raise `NotFound`."""
        ...

    def nodes(self, cluster_id: str) -> Sequence[NodeFacts]:
        """Return the cluster's nodes, manager first, by index."""
        ...

    def node(self, node_id: str) -> NodeFacts:
        """Return one node's facts; raise `NotFound`."""
        ...

    def overlay(self, cluster_id: str, name: str) -> Overlay:
        """Return what an overlay network of the cluster is to be; raise `NotFound`."""
        ...

    def overlay_names(self, cluster_id: str) -> Sequence[str]:
        """Return the names of the cluster's overlay networks that are not on their way out."""
        ...

    def set_capabilities(self, cluster_id: str, capabilities: Sequence[Capability]) -> None:
        """Record what the cluster was just now found to be capable of, in place of what was known by those names."""
        ...

    def image_digests(self, cluster_id: str) -> Sequence[str]:
        """Return the digests of the container images that every node of the cluster is to have."""
        ...

    def mark_overlay(self, cluster_id: str, name: str, *, verified: bool) -> None:
        """Record that an overlay network is there, and, if `verified`, that it was proved just now."""
        ...

    def forget_overlay(self, cluster_id: str, name: str) -> None:
        """Drop the row of an overlay network that is gone. None there is no error."""
        ...

    def put_secret(self, cluster_id: str, name: str, sealed: bytes) -> bool:
        """Keep a sealed secret; False, and nothing changed, if one of that name is kept already."""
        ...

    def secret(self, cluster_id: str, name: str) -> bytes | None:
        """Return a sealed secret, or None."""
        ...

    def discard_secrets(self, cluster_id: str) -> None:
        """Drop all of the cluster's sealed secrets."""
        ...

    def complete_operation(self, operation_id: str) -> None:
        """Record success, on the operation and on what it changed: status, nodes, count. Twice is no error."""
        ...

    def fail_operation(self, operation_id: str, error: ErrorRecord, *, cancelled: bool) -> None:
        """Record failure or cancellation, and the status that the cluster has after it. Twice is no error."""
        ...

    def host(self, host_id: str) -> Host:
        """Return a host; raise `NotFound`."""
        ...

    def hosts(self) -> Sequence[Host]:
        """Return all hosts."""
        ...

    def record_host(self, host: Host, report: HostReport | None) -> None:
        """Store a host's state, claim, image and, if given, what was measured of it."""
        ...

    def clusters_on_host(self, host_id: str) -> Sequence[ClusterFacts]:
        """Return the clusters that have nodes on the host and are not deleted."""
        ...

    def record_answers(self, answers: Mapping[str, str | None]) -> None:
        """Store, by host's id, why the host does not answer, or with None that it does."""
        ...

    def accept_bring_up(self, host_id: str) -> str | None:
        """Store that a host without its storage pool is to be prepared anew, and return the operation's id.

        None, and nothing stored, unless the host is ready and no operation is about it.
        """
        ...

    def watched_hosts(self) -> Sequence[Host]:
        """Return the hosts that are ready and not being prepared: a preparation starts nodes itself."""
        ...

    def watched_clusters(self) -> Sequence[WatchedCluster]:
        """Return the active clusters that no operation is about, as far as their nodes' hosts are known."""
        ...

    def accept_heal(self, cluster_id: str) -> str | None:
        """Store that the cluster's stopped nodes are to be started, and return the operation's id.

        None, and nothing stored, unless the cluster is active and no operation is about it.
        """
        ...

    def set_conditions(self, cluster_id: str, conditions: Sequence[Condition]) -> None:
        """Replace the cluster's conditions; its health follows: any fault degrades it."""
        ...

    def orphan_age_s(self, host_id: str, name: str) -> float:
        """Return the seconds since an orphan of that name was first reported; the first report counts as 0."""
        ...

    def forget_orphans_except(self, host_id: str, names: Sequence[str]) -> None:
        """Drop reports of orphans that are no longer seen."""
        ...


class Progress(Protocol):
    """Where the interceptor writes every attempt of every step. All calls block."""

    def step_started(
        self, operation_id: str, activity_id: str, *, name: str, node: str | None, host: str | None, attempt: int
    ) -> None:
        """Record that an attempt began; earlier attempts of the same activity that never ended are lost."""
        ...

    def step_ended(
        self, operation_id: str, activity_id: str, *, attempt: int, error: ErrorRecord | None, note: str | None
    ) -> None:
        """Record how an attempt ended, and what people should know of it."""
        ...
