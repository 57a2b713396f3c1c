"""How operations begin and end, and what their end means for the cluster: status, nodes, count, overlays."""

from collections.abc import Callable, Mapping

from sqlalchemy import delete
from sqlmodel import Session, col, select

from domain.clusters import ClusterStatus, Health
from domain.conditions import after_heal
from domain.errors import ErrorRecord, OperationCancelled
from domain.hosts import HostState
from domain.images import ImageState
from domain.nodes import NodeState
from domain.operations import OPEN_STATES, OperationKind, OperationState
from domain.overlays import OverlayState
from store.acceptance import set_status
from store.cluster_health import say, say_limits
from store.cluster_networks import free_network
from store.columns import now
from store.mapping import conditions_from_json, error_to_json
from store.publications import forget_all, forget_publication
from store.queries import find_host, lock_operation, nodes_of, open_operations
from store.reservations import count_nodes
from store.tables import ClusterRow, ImageRow, OperationRow, OverlayRow, SecretRow


def begin(session: Session, operation_id: str, workflow_id: str, run_id: str) -> bool:
    """Mark an operation as running. See the port.

    All changes to a cluster share a workflow id, so one that begins knows that whatever was being cancelled before
    it has ended. One that was to be cancelled before it began ends here.
    """
    operation, cluster = lock_operation(session, operation_id)
    if operation.state not in OPEN_STATES:
        return False
    if operation.run_id is not None:
        return operation.run_id == run_id
    if operation.state == OperationState.CANCELLING:
        fail(session, operation, cluster, _never_began(operation), cancelled=True)
        return False
    if cluster is not None:
        _end_others(session, operation, cluster)
    operation.state = OperationState.RUNNING
    operation.workflow_id = workflow_id
    operation.run_id = run_id
    operation.started_at = now()
    return True


def complete(session: Session, operation: OperationRow, cluster: ClusterRow | None) -> None:
    """Record success, unless the operation has ended."""
    if operation.state not in OPEN_STATES:
        return
    operation.state = OperationState.SUCCEEDED
    operation.ended_at = now()
    if cluster is not None:
        _COMPLETED[OperationKind(operation.kind)](session, operation, cluster)


def fail(
    session: Session, operation: OperationRow, cluster: ClusterRow | None, error: ErrorRecord, *, cancelled: bool
) -> None:
    """Record failure or cancellation, unless the operation has ended."""
    if operation.state not in OPEN_STATES:
        return
    operation.state = OperationState.CANCELLED if cancelled else OperationState.FAILED
    operation.error = error_to_json(error)
    operation.ended_at = now()
    if cluster is not None:
        _FAILED[OperationKind(operation.kind)](session, operation, cluster, error)
    elif operation.host_id is not None:
        _host_failed(session, operation, operation.host_id)


def _host_failed(session: Session, operation: OperationRow, host_id: str) -> None:
    """Say so of a host that is half done: it can be prepared or removed again. What took this one's place goes on."""
    host = find_host(session, host_id, lock=True)
    successor = select(OperationRow.id).where(
        col(OperationRow.host_id) == host_id,
        col(OperationRow.id) != operation.id,
        col(OperationRow.state).in_(OPEN_STATES),
    )
    if host.state in {HostState.PREPARING, HostState.REMOVING} and session.exec(successor).first() is None:
        host.state = HostState.ERROR
        host.updated_at = now()


def _never_began(operation: OperationRow) -> ErrorRecord:
    return OperationCancelled(
        f"The operation {operation.id} ({operation.kind}) was cancelled before it began."
    ).record()


def _end_others(session: Session, operation: OperationRow, cluster: ClusterRow) -> None:
    for other in open_operations(session, cluster.id):
        if other.id != operation.id:
            error = OperationCancelled(f"The operation {operation.id} ({operation.kind}) took its place.").record()
            fail(session, other, cluster, error, cancelled=True)


def _settle(cluster: ClusterRow, status: ClusterStatus) -> None:
    """Set the status that follows a change. A cluster that is being deleted stays so: the delete has the word."""
    if cluster.status != ClusterStatus.DELETING:
        set_status(cluster, status)
    cluster.updated_at = now()


def _activate(session: Session, operation: OperationRow, cluster: ClusterRow) -> None:
    for node in nodes_of(session, cluster.id):
        if node.operation_id == operation.id and node.state == NodeState.RESERVED:
            node.state = NodeState.ACTIVE
    session.flush()
    say_limits(session, cluster)


def _created(session: Session, operation: OperationRow, cluster: ClusterRow) -> None:
    _activate(session, operation, cluster)
    for overlay in session.exec(select(OverlayRow).where(col(OverlayRow.cluster_id) == cluster.id)):
        _overlay_made(overlay)
    _settle(cluster, ClusterStatus.ACTIVE)
    cluster.error = None
    count_nodes(session, cluster)


def _resized(session: Session, operation: OperationRow, cluster: ClusterRow) -> None:
    _activate(session, operation, cluster)
    _settle(cluster, ClusterStatus.ACTIVE)
    count_nodes(session, cluster)


def _deleted(session: Session, operation: OperationRow, cluster: ClusterRow) -> None:
    _end_others(session, operation, cluster)
    for node in nodes_of(session, cluster.id):
        if node.state != NodeState.LEFTOVER:
            session.delete(node)
    session.exec(delete(SecretRow).where(col(SecretRow.cluster_id) == cluster.id))
    session.exec(delete(ImageRow).where(col(ImageRow.cluster_id) == cluster.id))
    _forget_overlays(session, cluster)
    forget_all(session, cluster.id)
    session.flush()
    set_status(cluster, ClusterStatus.DELETED)
    cluster.deleted_at = cluster.updated_at
    cluster.health = Health.UNKNOWN
    cluster.conditions = []
    cluster.capabilities = []
    cluster.error = None
    count_nodes(session, cluster)
    free_network(session, cluster)


def _overlay_added(session: Session, operation: OperationRow, cluster: ClusterRow) -> None:
    overlay = _overlay(session, operation, cluster)
    if overlay is not None:
        _overlay_made(overlay)


def _overlay_removed(session: Session, operation: OperationRow, cluster: ClusterRow) -> None:
    overlay = _overlay(session, operation, cluster)
    if overlay is not None:
        session.delete(overlay)


def _image_loaded(session: Session, operation: OperationRow, cluster: ClusterRow) -> None:
    image = _image(session, operation, cluster)
    if image is not None:
        image.state = ImageState.ACTIVE
        image.error = None


def _healed(_session: Session, _operation: OperationRow, cluster: ClusterRow) -> None:
    """Drop what was said of nodes that had stopped: they run again. What else is wrong stays."""
    say(cluster, after_heal(conditions_from_json(cluster.conditions)))
    cluster.updated_at = now()


def _published(_session: Session, _operation: OperationRow, cluster: ClusterRow) -> None:
    cluster.updated_at = now()


def _withdrawn(session: Session, operation: OperationRow, cluster: ClusterRow) -> None:
    forget_publication(session, operation)
    cluster.updated_at = now()


def _forget_overlays(session: Session, cluster: ClusterRow) -> None:
    session.exec(delete(OverlayRow).where(col(OverlayRow.cluster_id) == cluster.id))


def _overlay_made(overlay: OverlayRow) -> None:
    overlay.state = OverlayState.ACTIVE
    overlay.error = None
    overlay.verified_at = overlay.verified_at or now()


def _create_failed(session: Session, _operation: OperationRow, cluster: ClusterRow, error: ErrorRecord) -> None:
    """Say why. Overlay networks live in nodes: without any, none is left."""
    _settle(cluster, ClusterStatus.ERROR)
    cluster.health = Health.UNKNOWN
    if cluster.status == ClusterStatus.ERROR:
        cluster.error = error_to_json(error)
    count_nodes(session, cluster)
    if cluster.node_count == 0:
        _forget_overlays(session, cluster)


def _resize_failed(session: Session, operation: OperationRow, cluster: ClusterRow, _error: ErrorRecord) -> None:
    """Go back to what the cluster has. A node that was to come and is still here is left for the sweep."""
    for node in nodes_of(session, cluster.id):
        if node.operation_id == operation.id and node.state == NodeState.RESERVED:
            node.state = NodeState.LEFTOVER
        if node.removed_by == operation.id and node.state == NodeState.REMOVING:
            node.state = NodeState.ACTIVE
            node.removed_by = None
    session.flush()
    _settle(cluster, ClusterStatus.ACTIVE)
    count_nodes(session, cluster)


def _delete_failed(session: Session, _operation: OperationRow, cluster: ClusterRow, error: ErrorRecord) -> None:
    """Leave the status: a delete never goes back, and one that is `deleting` with nothing open can be asked again."""
    cluster.error = error_to_json(error)
    cluster.updated_at = now()
    count_nodes(session, cluster)


def _overlay_not_added(session: Session, operation: OperationRow, cluster: ClusterRow, error: ErrorRecord) -> None:
    """Keep the row, with the error, of one that was not undone: undoing forgets the row."""
    overlay = _overlay(session, operation, cluster)
    if overlay is not None:
        overlay.state = OverlayState.ERROR
        overlay.error = error_to_json(error)


def _overlay_not_removed(session: Session, operation: OperationRow, cluster: ClusterRow, error: ErrorRecord) -> None:
    """Take it for active as before, with the error that tells why it is still there."""
    overlay = _overlay(session, operation, cluster)
    if overlay is not None:
        overlay.state = OverlayState.ACTIVE
        overlay.error = error_to_json(error)


def _image_not_loaded(session: Session, operation: OperationRow, cluster: ClusterRow, error: ErrorRecord) -> None:
    """Say why. Some nodes may have it; new ones don't get it."""
    image = _image(session, operation, cluster)
    if image is not None:
        image.state = ImageState.ERROR
        image.error = error_to_json(error)


def _not_healed(_session: Session, _operation: OperationRow, cluster: ClusterRow, _error: ErrorRecord) -> None:
    """Leave the cluster as it is: the next look at it finds what is wrong, and says so."""
    cluster.updated_at = now()


def _not_published(session: Session, operation: OperationRow, cluster: ClusterRow, _error: ErrorRecord) -> None:
    """Drop the port: undoing has withdrawn it from the hosts that had it."""
    forget_publication(session, operation)
    cluster.updated_at = now()


def _not_withdrawn(_session: Session, _operation: OperationRow, cluster: ClusterRow, _error: ErrorRecord) -> None:
    """Leave the port the cluster's: it can be withdrawn again."""
    cluster.updated_at = now()


def _overlay(session: Session, operation: OperationRow, cluster: ClusterRow) -> OverlayRow | None:
    return session.get(OverlayRow, (cluster.id, operation.params["overlay"]))


def _image(session: Session, operation: OperationRow, cluster: ClusterRow) -> ImageRow | None:
    return session.get(ImageRow, (cluster.id, operation.params["digest"]))


_COMPLETED: Mapping[OperationKind, Callable[[Session, OperationRow, ClusterRow], None]] = {
    OperationKind.CREATE: _created,
    OperationKind.GROW: _resized,
    OperationKind.SHRINK: _resized,
    OperationKind.DELETE: _deleted,
    OperationKind.ADD_OVERLAY: _overlay_added,
    OperationKind.REMOVE_OVERLAY: _overlay_removed,
    OperationKind.LOAD_IMAGE: _image_loaded,
    OperationKind.HEAL: _healed,
    OperationKind.MOVE: _resized,
    OperationKind.PUBLISH: _published,
    OperationKind.UNPUBLISH: _withdrawn,
}
_FAILED: Mapping[OperationKind, Callable[[Session, OperationRow, ClusterRow, ErrorRecord], None]] = {
    OperationKind.CREATE: _create_failed,
    OperationKind.GROW: _resize_failed,
    OperationKind.SHRINK: _resize_failed,
    OperationKind.DELETE: _delete_failed,
    OperationKind.ADD_OVERLAY: _overlay_not_added,
    OperationKind.REMOVE_OVERLAY: _overlay_not_removed,
    OperationKind.LOAD_IMAGE: _image_not_loaded,
    OperationKind.HEAL: _not_healed,
    OperationKind.MOVE: _resize_failed,
    OperationKind.PUBLISH: _not_published,
    OperationKind.UNPUBLISH: _not_withdrawn,
}
