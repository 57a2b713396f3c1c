"""What activities need of the store to publish ports, to move nodes from host to host, and to let a host go."""

from collections.abc import Sequence
from typing import Protocol

from domain.errors import ErrorRecord
from domain.facts import Leftover
from domain.nodes import NodeRef
from domain.publications import Publication


class HostRecords(Protocol):
    """A part of `activities.record_ports.Records`. All calls block, and each is one transaction."""

    def publications(self, host_id: str) -> Sequence[Publication]:
        """Return the ports of the host that are to lead to nodes on it: those of native APIs too."""
        ...

    def forget_publication(self, operation_id: str) -> None:
        """Drop the row of the port that the operation was to publish. None there is no error."""
        ...

    def accept_moves(self, operation_id: str, host_id: str, *, dead: bool) -> Sequence[str]:
        """Store that workers on the host are to move, and return the operations' ids: those accepted before too.

        One operation for each cluster, once for each operation on the host. Clusters that are busy are left out for
        now: see `awaited_clusters`. A cluster whose manager is on a `dead` host is past helping, and left out too.
        """
        ...

    def awaited_clusters(self, operation_id: str, host_id: str) -> Sequence[str]:
        """Return the names of the clusters with nodes on the host which are being changed by other operations."""
        ...

    def operation_ended(self, operation_id: str) -> tuple[bool, ErrorRecord | None]:
        """Return whether the operation has ended, and the error that it ended with, if any; raise `NotFound`."""
        ...

    def stuck_on_host(self, host_id: str) -> Sequence[str]:
        """Return what is still on the host: one sentence for each node that is, with the reason and the remedy."""
        ...

    def choose_moves(self, operation_id: str) -> Sequence[NodeRef]:
        """Mark the cluster's workers on the operation's host as removing, and return them: the same ones each time."""
        ...

    def admit_nodes(self, operation_id: str) -> None:
        """Count the nodes that the operation reserved among the cluster's members, before the operation ends."""
        ...

    def leftovers(self, host_id: str) -> Sequence[Leftover]:
        """Return what is left on the host of nodes that could not be removed when their time had come."""
        ...

    def forget_host(self, host_id: str) -> Sequence[str]:
        """Drop the host's row, and release all that is reserved on it; return the ids of clusters that had nodes there.

        A cluster that loses its manager goes into error, and says why. Raises `StepFailed` while one of the clusters
        is being changed. A host that is gone already is no error.
        """
        ...
