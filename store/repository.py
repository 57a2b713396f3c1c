"""The store's face for the API: reads and accepted changes of one owner. Every call blocks."""

from sqlalchemy import Engine

from domain.clusters import ClusterType
from store.views import Accepted, ClusterView, IdempotencyKey, NodeView, OperationView, OverlayView, Page


class Repository:
    """What one tenant has. Another tenant's things are not found here, whatever id is asked for."""

    def __init__(self, engine: Engine, tenant_id: str) -> None:
        self._engine = engine
        self._tenant_id = tenant_id

    def clusters(self, *, limit: int, marker: str | None, name: str | None = None) -> Page[ClusterView]:
        """Return clusters that are not deleted, oldest first; with `name`, the one of that name in any case."""
        raise NotImplementedError

    def cluster(self, cluster_id: str) -> ClusterView:
        """Return a cluster; raise `NotFound` if it is not there or is deleted."""
        raise NotImplementedError

    def nodes(self, cluster_id: str, *, limit: int, marker: str | None) -> Page[NodeView]:
        """Return a cluster's nodes, oldest first; raise `NotFound` for the cluster."""
        raise NotImplementedError

    def overlays(self, cluster_id: str, *, limit: int, marker: str | None) -> Page[OverlayView]:
        """Return a cluster's overlay networks by name, which is the marker too; raise `NotFound` for the cluster."""
        raise NotImplementedError

    def operations(self, cluster_id: str, *, limit: int, marker: str | None) -> Page[OperationView]:
        """Return a cluster's operations, without steps; a deleted cluster's too. Raises `NotFound`."""
        raise NotImplementedError

    def operation(self, operation_id: str) -> OperationView:
        """Return an operation with its steps; raise `NotFound`."""
        raise NotImplementedError

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
        raise NotImplementedError

    def accept_resize(self, cluster_id: str, node_count: int) -> Accepted | None:
        """Store a grow or shrink, None if the count is that already; raise `NotFound`, `ClusterBusy`, `Conflict`."""
        raise NotImplementedError

    def accept_delete(self, cluster_id: str, *, force: bool) -> Accepted:
        """Store a delete; raise `NotFound`, and `ClusterBusy` unless `force` pushes the running change aside."""
        raise NotImplementedError

    def accept_overlay(
        self, cluster_id: str, *, name: str, subnet: str | None, attachable: bool, encrypted: bool
    ) -> tuple[Accepted, OverlayView]:
        """Store an overlay network to be made.

        Raises `NotFound`, `InvalidInput`, `OverlayExists`, `SubnetOverlaps`, `EncryptionUnsupported`,
        `NoAddressLeft`, `ClusterBusy`, `Conflict`.
        """
        raise NotImplementedError

    def accept_overlay_removal(self, cluster_id: str, name: str) -> tuple[Accepted, OverlayView]:
        """Store that an overlay network is to go; raise `NotFound`, `ClusterBusy`, `Conflict`."""
        raise NotImplementedError

    def sealed_credentials(self, cluster_id: str) -> bytes | None:
        """Return the cluster's sealed credentials, None until they are made; raise `NotFound` for the cluster."""
        raise NotImplementedError
