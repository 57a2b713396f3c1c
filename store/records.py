"""The store's face for activities: records and progress. Every call blocks and is one transaction."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import Engine
from sqlmodel import Session

from domain.clusters import Capability, Condition
from domain.errors import ErrorRecord
from domain.facts import ClusterFacts, Leftover, NodeFacts
from domain.hosts import Host, HostReport
from domain.instance import Instance
from domain.nodes import NodeRef
from domain.overlays import Overlay
from domain.publications import Publication
from domain.watch import WatchedCluster
from store import (
    cluster_records,
    facts,
    host_acceptance,
    host_removal,
    hosts,
    moves,
    outcomes,
    publications,
    reservations,
    steps,
    watching,
)
from store.mapping import host_from_row, overlay_from_row
from store.queries import find_host, lock_operation
from store.transactions import read, write

Result = TypeVar("Result")


class StoreRecords:
    """Fits the ports `Records` and `Progress` of the activities."""

    def __init__(self, engine: Engine, instance: Instance) -> None:
        self._engine = engine
        self._instance = instance

    def begin_operation(self, operation_id: str, *, workflow_id: str, run_id: str) -> bool:
        """Mark a pending operation as running under this run; False if it has ended, or another run has it."""
        return self._write(lambda session: outcomes.begin(session, operation_id, workflow_id, run_id))

    def complete_operation(self, operation_id: str) -> None:
        """Record success, on the operation and on what it changed: status, nodes, count. Twice is no error."""
        self._write(lambda session: outcomes.complete(session, *lock_operation(session, operation_id)))

    def fail_operation(self, operation_id: str, error: ErrorRecord, *, cancelled: bool) -> None:
        """Record failure or cancellation, and the status that the cluster has after it. Twice is no error."""
        self._write(
            lambda session: outcomes.fail(session, *lock_operation(session, operation_id), error, cancelled=cancelled)
        )

    def reserve_nodes(
        self, operation_id: str, count: int, *, tell: Callable[[str], None] | None = None
    ) -> Sequence[NodeRef]:
        """Reserve `count` nodes for the operation's cluster: slot, addresses, uid ranges, hosts, ports, names.

        Called again for the same operation, it returns what it reserved. `tell` hears once why each host was chosen or
        not. Raises `NoRoom`, `NoAddressLeft`, `HostNotReady`, and `Conflict` if the operation has ended.
        """
        nodes, explanation = self._write(
            lambda session: reservations.reserve_nodes(session, self._instance, operation_id, count)
        )
        if tell is not None and explanation is not None:
            tell(explanation)
        return nodes

    def operation_nodes(self, operation_id: str) -> Sequence[NodeRef]:
        """Return the nodes that the operation has reserved and that are still there."""
        return self._read(lambda session: reservations.operation_nodes(session, operation_id))

    def set_image(self, operation_id: str, host_id: str, digest: str) -> None:
        """Record the node image that the nodes which the operation reserved on the host are made from."""
        self._write(lambda session: reservations.set_image(session, operation_id, host_id, digest))

    def release_nodes(self, cluster_id: str, node_ids: Sequence[str]) -> None:
        """Give back what the nodes held, and count the cluster's nodes anew. Nodes not there are no error."""
        self._write(lambda session: reservations.release_nodes(session, cluster_id, node_ids))

    def mark_nodes_leftover(self, cluster_id: str, node_ids: Sequence[str]) -> None:
        """Keep the nodes' reservations for a sweep, because their containers could not be removed."""
        self._write(lambda session: reservations.mark_nodes_leftover(session, cluster_id, node_ids))

    def choose_removals(self, operation_id: str, count: int) -> Sequence[NodeRef]:
        """Mark the `count` newest workers as removing, and return them: the same ones when called again."""
        return self._write(lambda session: reservations.choose_removals(session, operation_id, count))

    def cluster(self, cluster_id: str) -> ClusterFacts:
        """Return a cluster's facts; raise `NotFound` if it is not there or is deleted."""
        return self._read(lambda session: facts.cluster_facts(session, self._instance, cluster_id))

    def nodes(self, cluster_id: str) -> Sequence[NodeFacts]:
        """Return the cluster's nodes, manager first, by index; those that a deleted cluster left too."""
        return self._read(lambda session: facts.nodes_facts(session, self._instance, cluster_id))

    def node(self, node_id: str) -> NodeFacts:
        """Return one node's facts; raise `NotFound`."""
        return self._read(lambda session: facts.node_facts(session, self._instance, node_id))

    def overlay(self, cluster_id: str, name: str) -> Overlay:
        """Return what an overlay network of the cluster is to be; raise `NotFound`."""
        return self._read(lambda session: overlay_from_row(cluster_records.find_overlay(session, cluster_id, name)))

    def overlay_names(self, cluster_id: str) -> Sequence[str]:
        """Return the names of the cluster's overlay networks that are to be there."""
        return self._read(lambda session: cluster_records.overlay_names(session, cluster_id))

    def set_capabilities(self, cluster_id: str, capabilities: Sequence[Capability]) -> None:
        """Record what the cluster was just now found to be capable of, in place of what was known by those names."""
        self._write(lambda session: cluster_records.set_capabilities(session, cluster_id, capabilities))

    def image_digests(self, cluster_id: str) -> Sequence[str]:
        """Return the digests of the container images that every node of the cluster is to have, oldest first."""
        return self._read(lambda session: cluster_records.image_digests(session, cluster_id))

    def mark_overlay(self, cluster_id: str, name: str, *, verified: bool) -> None:
        """Record that an overlay network is there, and, if `verified`, that it was proved just now."""
        self._write(lambda session: cluster_records.mark_overlay(session, cluster_id, name, verified=verified))

    def forget_overlay(self, cluster_id: str, name: str) -> None:
        """Drop the row of an overlay network that is gone. None there is no error."""
        self._write(lambda session: cluster_records.forget_overlay(session, cluster_id, name))

    def put_secret(self, cluster_id: str, name: str, sealed: bytes) -> bool:
        """Keep a sealed secret; False, and nothing changed, if one of that name is kept already."""
        return self._write(lambda session: cluster_records.put_secret(session, cluster_id, name, sealed))

    def secret(self, cluster_id: str, name: str) -> bytes | None:
        """Return a sealed secret, or None."""
        return self._read(lambda session: cluster_records.sealed_secret(session, cluster_id, name))

    def discard_secrets(self, cluster_id: str) -> None:
        """Drop all of the cluster's sealed secrets."""
        self._write(lambda session: cluster_records.discard_secrets(session, cluster_id))

    def host(self, host_id: str) -> Host:
        """Return a host; raise `NotFound`."""
        return self._read(lambda session: host_from_row(find_host(session, host_id)))

    def hosts(self) -> Sequence[Host]:
        """Return all hosts, by name."""
        return self._read(lambda session: list(facts.all_hosts(session).values()))

    def record_host(self, host: Host, report: HostReport | None) -> None:
        """Store a host's state, claim, image and, if given, what was measured of it: that then counts."""
        self._write(lambda session: hosts.record_host(session, host, report))

    def record_answers(self, answers: Mapping[str, str | None]) -> None:
        """Store, by host's id, why the host does not answer, or with None that it does."""
        self._write(lambda session: hosts.record_answers(session, answers))

    def clusters_on_host(self, host_id: str) -> Sequence[ClusterFacts]:
        """Return the clusters that have nodes on the host and are not deleted."""
        return self._read(lambda session: facts.clusters_on_host(session, self._instance, host_id))

    def publications(self, host_id: str) -> Sequence[Publication]:
        """Return all that the host's ports are to lead to now: native APIs and what owners asked for."""
        return self._read(lambda session: publications.host_publications(session, host_id))

    def forget_publication(self, operation_id: str) -> None:
        """Drop the row of the port that the operation was to publish. None there is no error."""
        self._write(lambda session: publications.forget_publication(session, lock_operation(session, operation_id)[0]))

    def accept_moves(self, operation_id: str, host_id: str, *, dead: bool) -> Sequence[str]:
        """Store that workers on the host are to move, and return the operations' ids: those accepted before too."""
        return self._write(lambda session: moves.accept_moves(session, operation_id, host_id, dead=dead))

    def awaited_clusters(self, operation_id: str, host_id: str) -> Sequence[str]:
        """Return the names of the clusters with nodes on the host which are being changed by other operations."""
        return self._read(lambda session: moves.awaited_clusters(session, operation_id, host_id))

    def operation_ended(self, operation_id: str) -> tuple[bool, ErrorRecord | None]:
        """Return whether the operation has ended, and the error that it ended with, if any; raise `NotFound`."""
        return self._read(lambda session: moves.operation_ended(session, operation_id))

    def stuck_on_host(self, host_id: str) -> Sequence[str]:
        """Return what is still on the host: one sentence for each node that is, with the reason and the remedy."""
        return self._read(lambda session: moves.stuck_on_host(session, host_id))

    def choose_moves(self, operation_id: str) -> Sequence[NodeRef]:
        """Mark the cluster's workers on the operation's host as removing, and return them: the same ones each time."""
        return self._write(lambda session: moves.choose_moves(session, operation_id))

    def admit_nodes(self, operation_id: str) -> None:
        """Count the nodes that the operation reserved among the cluster's members, before the operation ends."""
        self._write(lambda session: moves.admit_nodes(session, operation_id))

    def leftovers(self, host_id: str) -> Sequence[Leftover]:
        """Return what is left on the host of nodes that could not be removed when their time had come."""
        return self._read(lambda session: moves.leftovers(session, host_id))

    def forget_host(self, host_id: str) -> Sequence[str]:
        """Drop the host's row, and release all that is reserved on it; return the ids of clusters that had nodes there.

        A cluster that loses its manager goes into error. Raises `StepFailed` while one of them is being changed.
        """
        return self._write(lambda session: host_removal.forget_host(session, host_id))

    def set_conditions(self, cluster_id: str, conditions: Sequence[Condition]) -> None:
        """Replace the cluster's conditions; its health follows: any fault degrades it."""
        self._write(lambda session: cluster_records.set_conditions(session, cluster_id, conditions))

    def accept_heal(self, cluster_id: str) -> str | None:
        """Store that a cluster's stopped nodes are to be started, and return the operation's id.

        None where the cluster is not active or not there any more, or something else is changing it.
        """
        return self._write(lambda session: watching.accept_heal(session, cluster_id))

    def accept_bring_up(self, host_id: str) -> str | None:
        """Store that a host without its storage pool is to be prepared anew, and return the operation's id.

        None where the host is not ready or not there any more, or something else is about it.
        """
        return self._write(lambda session: host_acceptance.accept_bring_up(session, host_id))

    def watched_clusters(self) -> Sequence[WatchedCluster]:
        """Return the active clusters that nothing is being changed on, with their nodes, conditions and heals."""
        return self._read(lambda session: watching.watched_clusters(session, self._instance))

    def watched_hosts(self) -> Sequence[Host]:
        """Return the hosts that are ready and not being prepared, by name. One that is drained is among them."""
        return self._read(watching.watched_hosts)

    def orphan_age_s(self, host_id: str, name: str) -> float:
        """Return the seconds since an orphan of that name was first reported; the first report counts as 0."""
        return self._write(lambda session: hosts.orphan_age_s(session, host_id, name))

    def forget_orphans_except(self, host_id: str, names: Sequence[str]) -> None:
        """Drop reports of orphans that are no longer seen."""
        self._write(lambda session: hosts.forget_orphans_except(session, host_id, names))

    def step_started(
        self, operation_id: str, activity_id: str, *, name: str, node: str | None, host: str | None, attempt: int
    ) -> None:
        """Record that an attempt began; earlier attempts of the same activity that never ended are lost."""
        self._write(
            lambda session: steps.step_started(
                session, operation_id, activity_id, name=name, node=node, host=host, attempt=attempt
            )
        )

    def step_ended(
        self, operation_id: str, activity_id: str, *, attempt: int, error: ErrorRecord | None, note: str | None
    ) -> None:
        """Record how an attempt ended, and what people should know of it; raise `NotFound` if it never began."""
        self._write(
            lambda session: steps.step_ended(
                session, operation_id, activity_id, attempt=attempt, error=error, note=note
            )
        )

    def _read(self, work: Callable[[Session], Result]) -> Result:
        return read(self._engine, work)

    def _write(self, work: Callable[[Session], Result]) -> Result:
        return write(self._engine, work)
