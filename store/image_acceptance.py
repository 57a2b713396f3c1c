"""What is stored when an archive of container images is loaded into a cluster, or forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from domain.errors import NotFound
from domain.images import ImageState
from domain.operations import OperationKind
from store.acceptance import accepted, add_operation, busy, find_idle_cluster
from store.mapping import image_view
from store.queries import find_cluster, open_operations
from store.tables import ImageRow
from store.views import Accepted, ImageView

_CHANGE = "given an image"


@dataclass(frozen=True, slots=True)
class NewImage:
    """An archive that is kept already: its digest, the names of the images in it, its size."""

    digest: str
    names: Sequence[str]
    size_bytes: int


def check_acceptable(session: Session, tenant_id: str, cluster_id: str) -> None:
    """Raise what `accept_image` would, so that nobody sends an archive in vain."""
    find_idle_cluster(session, tenant_id, cluster_id, _CHANGE)


def accept_image(session: Session, tenant_id: str, cluster_id: str, wanted: NewImage) -> tuple[Accepted, ImageView]:
    """Store an archive that every node is to get, and the operation that sees to it. One that is there comes anew."""
    cluster = find_idle_cluster(session, tenant_id, cluster_id, _CHANGE)
    image = session.get(ImageRow, (cluster_id, wanted.digest))
    if image is None:
        image = ImageRow(
            cluster_id=cluster_id,
            digest=wanted.digest,
            tenant_id=cluster.tenant_id,
            names=list(wanted.names),
            size_bytes=wanted.size_bytes,
        )
        session.add(image)
    image.state = ImageState.PENDING
    image.error = None
    session.flush()
    operation = add_operation(session, cluster, OperationKind.LOAD_IMAGE, {"digest": wanted.digest})
    return accepted(session, cluster, operation), image_view(image)


def images(session: Session, tenant_id: str, cluster_id: str) -> list[ImageView]:
    """Return the cluster's images, oldest first; raise `NotFound` for the cluster."""
    find_cluster(session, cluster_id, tenant_id=tenant_id)
    return [image_view(row) for row in rows_of(session, cluster_id)]


def forget_image(session: Session, tenant_id: str, cluster_id: str, digest: str) -> ImageView:
    """Drop the row of an image: new nodes don't get it any more. Raises `NotFound`, and `ClusterBusy` on its way in."""
    find_cluster(session, cluster_id, tenant_id=tenant_id, lock=True)
    image = session.get(ImageRow, (cluster_id, digest))
    if image is None:
        raise NotFound(f"The cluster {cluster_id} has no image {digest}.")
    for operation in open_operations(session, cluster_id):
        if operation.kind == OperationKind.LOAD_IMAGE and operation.params["digest"] == digest:
            raise busy(operation)
    view = image_view(image)
    session.delete(image)
    return view


def rows_of(session: Session, cluster_id: str) -> Sequence[ImageRow]:
    """Return the rows of a cluster's images, oldest first."""
    return session.exec(
        select(ImageRow)
        .where(col(ImageRow.cluster_id) == cluster_id)
        .order_by(col(ImageRow.created_at), col(ImageRow.digest))
    ).all()
