"""The store's face for the API: reads and accepted changes of one owner. Every call blocks."""

from collections.abc import Sequence

from sqlalchemy import Engine, func
from sqlmodel import Session, col, select

from domain.clusters import ClusterStatus, ClusterType
from domain.errors import NotFound
from domain.options import AskedOptions
from domain.publications import Protocol
from store import acceptance, image_acceptance, overlay_acceptance, publications
from store.mapping import node_view, operation_view, overlay_view
from store.pages import page_of
from store.queries import any_cluster, find_cluster, view_clusters
from store.revisions import Revision, current_revision
from store.steps import steps_of
from store.tables import ClusterRow, HostRow, NodeRow, OperationRow, OverlayRow, TenantRow
from store.transactions import read, write
from store.views import (
    Accepted,
    ClusterView,
    IdempotencyKey,
    ImageView,
    NodeView,
    OperationView,
    OverlayView,
    Page,
    PublicationView,
)


class Repository:
    """What one tenant has. Another tenant's things are not found here, whatever id is asked for."""

    def __init__(self, engine: Engine, tenant_id: str) -> None:
        self._engine = engine
        self._tenant_id = tenant_id

    def tenant_name(self) -> str:
        """Return what the tenant is called."""
        return read(self._engine, lambda session: session.get_one(TenantRow, self._tenant_id).name)

    def clusters(self, *, limit: int, marker: str | None, name: str | None = None) -> Page[ClusterView]:
        """Return clusters that are not deleted, oldest first; with `name`, the one of that name in any case."""
        query = select(ClusterRow).where(
            col(ClusterRow.tenant_id) == self._tenant_id, col(ClusterRow.status) != ClusterStatus.DELETED
        )
        if name is not None:
            query = query.where(func.lower(col(ClusterRow.name)) == name.lower())
        if marker is not None:
            query = query.where(col(ClusterRow.id) > marker)
        query = query.order_by(col(ClusterRow.id)).limit(limit + 1)
        return read(
            self._engine,
            lambda session: page_of(view_clusters(session, session.exec(query).all()), limit, lambda view: view.id),
        )

    def cluster(self, cluster_id: str) -> ClusterView:
        """Return a cluster; raise `NotFound` if it is not there or is deleted."""
        return read(self._engine, lambda session: view_clusters(session, [self._find(session, cluster_id)])[0])

    def nodes(self, cluster_id: str, *, limit: int, marker: str | None) -> Page[NodeView]:
        """Return a cluster's nodes, oldest first; raise `NotFound` for the cluster."""
        query = (
            select(NodeRow, HostRow)
            .join(HostRow, col(HostRow.id) == col(NodeRow.host_id))
            .where(col(NodeRow.cluster_id) == cluster_id)
        )
        if marker is not None:
            query = query.where(col(NodeRow.id) > marker)
        query = query.order_by(col(NodeRow.id)).limit(limit + 1)

        def work(session: Session) -> Page[NodeView]:
            coe = self._find(session, cluster_id).type["coe"]
            return page_of([node_view(*row, coe) for row in session.exec(query)], limit, lambda view: view.id)

        return read(self._engine, work)

    def overlays(self, cluster_id: str, *, limit: int, marker: str | None) -> Page[OverlayView]:
        """Return a cluster's overlay networks by name, which is the marker too; raise `NotFound` for the cluster."""
        query = select(OverlayRow).where(col(OverlayRow.cluster_id) == cluster_id)
        if marker is not None:
            query = query.where(col(OverlayRow.name) > marker)
        query = query.order_by(col(OverlayRow.name)).limit(limit + 1)

        def work(session: Session) -> Page[OverlayView]:
            self._find(session, cluster_id)
            return page_of([overlay_view(row) for row in session.exec(query)], limit, lambda view: view.name)

        return read(self._engine, work)

    def operations(self, cluster_id: str, *, limit: int, marker: str | None) -> Page[OperationView]:
        """Return a cluster's operations, oldest first, without steps; a deleted cluster's too. Raises `NotFound`."""
        query = select(OperationRow).where(col(OperationRow.cluster_id) == cluster_id)
        if marker is not None:
            query = query.where(col(OperationRow.id) > marker)
        query = query.order_by(col(OperationRow.id)).limit(limit + 1)

        def work(session: Session) -> Page[OperationView]:
            any_cluster(session, cluster_id, tenant_id=self._tenant_id)
            return page_of([operation_view(row) for row in session.exec(query)], limit, lambda view: view.id)

        return read(self._engine, work)

    def operation(self, operation_id: str) -> OperationView:
        """Return an operation with its steps in the order in which they began; raise `NotFound`."""

        def work(session: Session) -> OperationView:
            row = session.exec(
                select(OperationRow).where(
                    col(OperationRow.id) == operation_id, col(OperationRow.tenant_id) == self._tenant_id
                )
            ).one_or_none()
            if row is None:
                raise NotFound(f"There is no operation {operation_id}.")
            return operation_view(row, steps_of(session, operation_id))

        return read(self._engine, work)

    def revision(self, operation_id: str) -> Revision:
        """Return what changes whenever the operation or one of its steps does; cheap. Raises `NotFound`."""
        return current_revision(self._engine, operation_id, self._tenant_id)

    def accept_create(
        self,
        *,
        name: str,
        cluster_type: ClusterType,
        node_count: int,
        retain: bool,
        idempotency: IdempotencyKey | None,
        options: AskedOptions | None = None,
    ) -> Accepted:
        """Store a new cluster and its create.

        Raises `InvalidInput`, `NameTaken`, `KeyReused`, `SubnetOverlaps`, and `Unavailable` for a node subnet that is
        asked for before there is a node network.
        """
        wanted = acceptance.NewCluster(name, cluster_type, node_count, retain, options or AskedOptions())
        return write(
            self._engine, lambda session: acceptance.accept_create(session, self._tenant_id, wanted, idempotency)
        )

    def accept_resize(self, cluster_id: str, node_count: int) -> Accepted | None:
        """Store a grow or shrink, None if the count is that already.

        Raises `InvalidInput`, `NotFound`, `ClusterBusy`, `Conflict`.
        """
        return write(
            self._engine, lambda session: acceptance.accept_resize(session, self._tenant_id, cluster_id, node_count)
        )

    def accept_delete(self, cluster_id: str, *, force: bool) -> Accepted:
        """Store a delete; raise `NotFound`, and `ClusterBusy` unless `force` pushes the running change aside."""
        return write(
            self._engine, lambda session: acceptance.accept_delete(session, self._tenant_id, cluster_id, force=force)
        )

    def accept_overlay(
        self,
        cluster_id: str,
        *,
        name: str,
        subnet: str | None = None,
        attachable: bool | None = None,
        encrypted: bool | None = None,
        services: Sequence[str] | None = None,
    ) -> tuple[Accepted, OverlayView]:
        """Store an overlay network to be made. None is what was left out.

        Raises `NotFound`, `InvalidInput`, `OverlayExists`, `SubnetOverlaps`, `EncryptionUnsupported`,
        `NoAddressLeft`, `ClusterBusy`, `Conflict`.
        """
        wanted = overlay_acceptance.NewOverlay(name, subnet, attachable, encrypted, services)
        return write(
            self._engine,
            lambda session: overlay_acceptance.accept_overlay(session, self._tenant_id, cluster_id, wanted),
        )

    def accept_overlay_removal(self, cluster_id: str, name: str) -> tuple[Accepted, OverlayView]:
        """Store that an overlay network is to go; raise `NotFound`, `ClusterBusy`, `Conflict`."""
        return write(
            self._engine, lambda session: overlay_acceptance.accept_removal(session, self._tenant_id, cluster_id, name)
        )

    def check_image_acceptable(self, cluster_id: str) -> None:
        """Raise what `accept_image` would for the cluster as it is now, before an archive is sent."""
        read(self._engine, lambda session: image_acceptance.check_acceptable(session, self._tenant_id, cluster_id))

    def accept_image(
        self, cluster_id: str, *, digest: str, names: Sequence[str], size_bytes: int
    ) -> tuple[Accepted, ImageView]:
        """Store that the images of an archive, which is kept already, are to be put on every node of the cluster.

        Raises `NotFound`, `ClusterBusy`, `Conflict`.
        """
        wanted = image_acceptance.NewImage(digest, names, size_bytes)
        return write(
            self._engine,
            lambda session: image_acceptance.accept_image(session, self._tenant_id, cluster_id, wanted),
        )

    def images(self, cluster_id: str) -> Sequence[ImageView]:
        """Return the images that were loaded into a cluster, oldest first; raise `NotFound` for the cluster."""
        return read(self._engine, lambda session: image_acceptance.images(session, self._tenant_id, cluster_id))

    def forget_image(self, cluster_id: str, digest: str) -> ImageView:
        """Drop the record of an image; nodes keep theirs. Raises `NotFound`, and `ClusterBusy` while it is loaded."""
        return write(
            self._engine,
            lambda session: image_acceptance.forget_image(session, self._tenant_id, cluster_id, digest),
        )

    def publications(self, cluster_id: str, *, limit: int, after: tuple[int, str] | None) -> Page[PublicationView]:
        """Return a cluster's published ports by port and protocol, beyond those of `after`; raise `NotFound`.

        A marker is a port and its protocol, such as 80/tcp.
        """
        views = read(
            self._engine,
            lambda session: publications.list_publications(
                session, self._tenant_id, cluster_id, limit=limit + 1, after=after
            ),
        )
        return page_of(views, limit, lambda view: f"{view.host_port}/{view.protocol}")

    def accept_publish(
        self, cluster_id: str, *, host_port: int, node_port: int, protocol: Protocol
    ) -> tuple[Accepted, PublicationView]:
        """Store that a port of the cluster's hosts is to lead to it.

        Raises `NotFound`, `InvalidInput`, `PortTaken`, `ClusterBusy`, and `Conflict` where no host publishes ports.
        """
        wanted = publications.NewPublication(host_port, node_port, protocol)
        return write(
            self._engine,
            lambda session: publications.accept_publish(session, self._tenant_id, cluster_id, wanted),
        )

    def accept_unpublish(self, cluster_id: str, host_port: int, protocol: Protocol) -> tuple[Accepted, PublicationView]:
        """Store that a port is to lead to the cluster no more; raise `NotFound`, `ClusterBusy`, `Conflict`."""
        return write(
            self._engine,
            lambda session: publications.accept_unpublish(session, self._tenant_id, cluster_id, host_port, protocol),
        )

    def _find(self, session: Session, cluster_id: str) -> ClusterRow:
        return find_cluster(session, cluster_id, tenant_id=self._tenant_id)
