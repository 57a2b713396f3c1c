"""The store's face for the API: reads and accepted changes of one owner. Every call blocks."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Engine, func
from sqlmodel import Session, col, select

from domain.clusters import ClusterStatus, ClusterType
from domain.errors import NotFound
from store import acceptance, overlay_acceptance
from store.mapping import node_view, operation_view, overlay_view
from store.queries import any_cluster, find_cluster, view_clusters
from store.revisions import Revision, current_revision
from store.steps import steps_of
from store.tables import ClusterRow, HostRow, NodeRow, OperationRow, OverlayRow, SecretRow
from store.transactions import read, write
from store.views import Accepted, ClusterView, IdempotencyKey, NodeView, OperationView, OverlayView, Page

CREDENTIALS_SECRET = "credentials"  # noqa: S105 - the name of one, not one
Item = TypeVar("Item")


class Repository:
    """What one tenant has. Another tenant's things are not found here, whatever id is asked for."""

    def __init__(self, engine: Engine, tenant_id: str) -> None:
        self._engine = engine
        self._tenant_id = tenant_id

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
            lambda session: _page(view_clusters(session, session.exec(query).all()), limit, lambda view: view.id),
        )

    def cluster(self, cluster_id: str) -> ClusterView:
        """Return a cluster; raise `NotFound` if it is not there or is deleted."""
        return read(self._engine, lambda session: view_clusters(session, [self._find(session, cluster_id)])[0])

    def nodes(self, cluster_id: str, *, limit: int, marker: str | None) -> Page[NodeView]:
        """Return a cluster's nodes, oldest first; raise `NotFound` for the cluster."""
        query = (
            select(NodeRow, HostRow.name)
            .join(HostRow, col(HostRow.id) == col(NodeRow.host_id))
            .where(col(NodeRow.cluster_id) == cluster_id)
        )
        if marker is not None:
            query = query.where(col(NodeRow.id) > marker)
        query = query.order_by(col(NodeRow.id)).limit(limit + 1)

        def work(session: Session) -> Page[NodeView]:
            self._find(session, cluster_id)
            return _page([node_view(*row) for row in session.exec(query)], limit, lambda view: view.id)

        return read(self._engine, work)

    def overlays(self, cluster_id: str, *, limit: int, marker: str | None) -> Page[OverlayView]:
        """Return a cluster's overlay networks by name, which is the marker too; raise `NotFound` for the cluster."""
        query = select(OverlayRow).where(col(OverlayRow.cluster_id) == cluster_id)
        if marker is not None:
            query = query.where(col(OverlayRow.name) > marker)
        query = query.order_by(col(OverlayRow.name)).limit(limit + 1)

        def work(session: Session) -> Page[OverlayView]:
            self._find(session, cluster_id)
            return _page([overlay_view(row) for row in session.exec(query)], limit, lambda view: view.name)

        return read(self._engine, work)

    def operations(self, cluster_id: str, *, limit: int, marker: str | None) -> Page[OperationView]:
        """Return a cluster's operations, oldest first, without steps; a deleted cluster's too. Raises `NotFound`."""
        query = select(OperationRow).where(col(OperationRow.cluster_id) == cluster_id)
        if marker is not None:
            query = query.where(col(OperationRow.id) > marker)
        query = query.order_by(col(OperationRow.id)).limit(limit + 1)

        def work(session: Session) -> Page[OperationView]:
            any_cluster(session, cluster_id, tenant_id=self._tenant_id)
            return _page([operation_view(row) for row in session.exec(query)], limit, lambda view: view.id)

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
    ) -> Accepted:
        """Store a new cluster and its create; raise `InvalidInput`, `NameTaken`, `KeyReused`."""
        wanted = acceptance.NewCluster(name, cluster_type, node_count, retain)
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
        self, cluster_id: str, *, name: str, subnet: str | None, attachable: bool, encrypted: bool
    ) -> tuple[Accepted, OverlayView]:
        """Store an overlay network to be made.

        Raises `NotFound`, `InvalidInput`, `OverlayExists`, `SubnetOverlaps`, `EncryptionUnsupported`,
        `NoAddressLeft`, `ClusterBusy`, `Conflict`.
        """
        wanted = overlay_acceptance.NewOverlay(name, subnet, attachable, encrypted)
        return write(
            self._engine,
            lambda session: overlay_acceptance.accept_overlay(session, self._tenant_id, cluster_id, wanted),
        )

    def accept_overlay_removal(self, cluster_id: str, name: str) -> tuple[Accepted, OverlayView]:
        """Store that an overlay network is to go; raise `NotFound`, `ClusterBusy`, `Conflict`."""
        return write(
            self._engine, lambda session: overlay_acceptance.accept_removal(session, self._tenant_id, cluster_id, name)
        )

    def sealed_credentials(self, cluster_id: str) -> bytes | None:
        """Return the cluster's sealed credentials, None until they are made; raise `NotFound` for the cluster."""

        def work(session: Session) -> bytes | None:
            self._find(session, cluster_id)
            row = session.get(SecretRow, (cluster_id, CREDENTIALS_SECRET))
            return None if row is None else row.sealed

        return read(self._engine, work)

    def _find(self, session: Session, cluster_id: str) -> ClusterRow:
        return find_cluster(session, cluster_id, tenant_id=self._tenant_id)


def _page(items: Sequence[Item], limit: int, marker: Callable[[Item], str]) -> Page[Item]:
    """Return the first `limit` of items, of which one more was read to see whether there are more."""
    shown = items[:limit]
    return Page(shown, marker(shown[-1]) if len(items) > limit and shown else None)
