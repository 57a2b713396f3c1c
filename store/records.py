"""The store's face for activities: records and progress. Every call blocks and is one transaction."""

from collections.abc import Sequence

from sqlalchemy import Engine

from domain.clusters import Condition
from domain.errors import ErrorRecord
from domain.hosts import Host, HostReport
from domain.instance import Instance
from domain.nodes import NodeRef
from domain.overlays import Overlay
from domain.facts import ClusterFacts, NodeFacts


class StoreRecords:
    """Fits the ports `Records` and `Progress` of the activities."""

    def __init__(self, engine: Engine, instance: Instance) -> None:
        self._engine = engine
        self._instance = instance

    def begin_operation(self, operation_id: str, *, workflow_id: str, run_id: str) -> bool:
        """Mark a pending operation as running under this run; False if it has ended, or another run has it."""
        raise NotImplementedError

    def reserve_nodes(self, operation_id: str, count: int) -> Sequence[NodeRef]:
        """Reserve `count` nodes for the operation's cluster: slot, addresses, uid ranges, hosts, names.

        Called again for the same operation, it returns what it reserved. Raises `NoRoom`, `NoAddressLeft`,
        `HostNotReady`.
        """
        raise NotImplementedError

    def release_nodes(self, cluster_id: str, node_ids: Sequence[str]) -> None:
        """Give back what the nodes held, and count the cluster's nodes anew. Nodes not there are no error."""
        raise NotImplementedError

    def mark_nodes_leftover(self, cluster_id: str, node_ids: Sequence[str]) -> None:
        """Keep the nodes' reservations for a sweep, because their containers could not be removed."""
        raise NotImplementedError

    def choose_removals(self, operation_id: str, count: int) -> Sequence[NodeRef]:
        """Mark the `count` newest workers as removing, and return them: the same ones when called again."""
        raise NotImplementedError

    def cluster(self, cluster_id: str) -> ClusterFacts:
        """Return a cluster's facts; raise `NotFound`."""
        raise NotImplementedError

    def nodes(self, cluster_id: str) -> Sequence[NodeFacts]:
        """Return the cluster's nodes, manager first, by index."""
        raise NotImplementedError

    def node(self, node_id: str) -> NodeFacts:
        """Return one node's facts; raise `NotFound`."""
        raise NotImplementedError

    def overlay(self, cluster_id: str, name: str) -> Overlay:
        """Return what an overlay network of the cluster is to be; raise `NotFound`."""
        raise NotImplementedError

    def overlay_names(self, cluster_id: str) -> Sequence[str]:
        """Return the names of the cluster's overlay networks that are not on their way out."""
        raise NotImplementedError

    def mark_overlay(self, cluster_id: str, name: str, *, verified: bool) -> None:
        """Record that an overlay network is there, and, if `verified`, that it was proved just now."""
        raise NotImplementedError

    def forget_overlay(self, cluster_id: str, name: str) -> None:
        """Drop the row of an overlay network that is gone. None there is no error."""
        raise NotImplementedError

    def put_secret(self, cluster_id: str, name: str, sealed: bytes) -> bool:
        """Keep a sealed secret; False, and nothing changed, if one of that name is kept already."""
        raise NotImplementedError

    def secret(self, cluster_id: str, name: str) -> bytes | None:
        """Return a sealed secret, or None."""
        raise NotImplementedError

    def discard_secrets(self, cluster_id: str) -> None:
        """Drop all of the cluster's sealed secrets."""
        raise NotImplementedError

    def complete_operation(self, operation_id: str) -> None:
        """Record success, on the operation and on what it changed: status, nodes, count. Twice is no error."""
        raise NotImplementedError

    def fail_operation(self, operation_id: str, error: ErrorRecord, *, cancelled: bool) -> None:
        """Record failure or cancellation, and the status that the cluster has after it. Twice is no error."""
        raise NotImplementedError

    def host(self, host_id: str) -> Host:
        """Return a host; raise `NotFound`."""
        raise NotImplementedError

    def hosts(self) -> Sequence[Host]:
        """Return all hosts."""
        raise NotImplementedError

    def record_host(self, host: Host, report: HostReport | None) -> None:
        """Store a host's state, claim, image and, if given, what was measured of it."""
        raise NotImplementedError

    def clusters_on_host(self, host_id: str) -> Sequence[ClusterFacts]:
        """Return the clusters that have nodes on the host and are not deleted."""
        raise NotImplementedError

    def set_conditions(self, cluster_id: str, conditions: Sequence[Condition]) -> None:
        """Replace the cluster's conditions; its health follows: none is healthy, any is degraded."""
        raise NotImplementedError

    def orphan_age_s(self, host_id: str, name: str) -> float:
        """Return the seconds since an orphan of that name was first reported; the first report counts as 0."""
        raise NotImplementedError

    def forget_orphans_except(self, host_id: str, names: Sequence[str]) -> None:
        """Drop reports of orphans that are no longer seen."""
        raise NotImplementedError

    def step_started(
        self, operation_id: str, activity_id: str, *, name: str, node: str | None, host: str | None, attempt: int
    ) -> None:
        """Record that an attempt began; earlier attempts of the same activity that never ended are lost."""
        raise NotImplementedError

    def step_ended(self, operation_id: str, activity_id: str, *, attempt: int, error: ErrorRecord | None) -> None:
        """Record how an attempt ended."""
        raise NotImplementedError
