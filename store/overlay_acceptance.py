"""What is stored when a change to a cluster's overlay networks is accepted."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from domain.errors import EncryptionUnsupported, HostNotReady, NotFound, OverlayExists
from domain.hosts import CAP_ESP
from domain.operations import OperationKind
from domain.overlays import OverlayState, check_overlay_name, check_subnet, choose_subnet, overlay_mtu
from store.acceptance import accepted, add_operation, find_idle_cluster
from store.mapping import host_from_row, overlay_view
from store.queries import find_cluster
from store.tables import ClusterRow, HostRow, NodeRow, OverlayRow
from store.views import Accepted, OverlayView


@dataclass(frozen=True, slots=True)
class NewOverlay:
    """What was asked for. Without `subnet`, one is chosen."""

    name: str
    subnet: str | None
    attachable: bool
    encrypted: bool


def accept_overlay(
    session: Session, tenant_id: str, cluster_id: str, wanted: NewOverlay
) -> tuple[Accepted, OverlayView]:
    """Store an overlay network that is to be made, and the operation that will."""
    find_cluster(session, cluster_id, tenant_id=tenant_id)
    check_overlay_name(wanted.name)
    cluster = find_idle_cluster(session, tenant_id, cluster_id, "given an overlay network")
    if session.get(OverlayRow, (cluster_id, wanted.name)) is not None:
        raise OverlayExists(f"The cluster {cluster.name!r} has an overlay network {wanted.name!r}.", field="name")
    hosts = _hosts_of(session, cluster_id)
    subnet = _subnet(session, cluster_id, wanted.subnet, hosts)
    if wanted.encrypted:
        _check_encryption(hosts)
    overlay = add_overlay(session, cluster, wanted, subnet)
    operation = add_operation(session, cluster, OperationKind.ADD_OVERLAY, {"overlay": wanted.name})
    return accepted(session, cluster, operation), overlay_view(overlay)


def accept_removal(session: Session, tenant_id: str, cluster_id: str, name: str) -> tuple[Accepted, OverlayView]:
    """Store that an overlay network is to go, and the operation that removes it."""
    cluster = find_idle_cluster(session, tenant_id, cluster_id, "rid of an overlay network")
    overlay = session.get(OverlayRow, (cluster_id, name))
    if overlay is None:
        raise NotFound(f"The cluster {cluster.name!r} has no overlay network {name!r}.")
    overlay.state = OverlayState.REMOVING
    operation = add_operation(session, cluster, OperationKind.REMOVE_OVERLAY, {"overlay": name})
    return accepted(session, cluster, operation), overlay_view(overlay)


def add_overlay(session: Session, cluster: ClusterRow, wanted: NewOverlay, subnet: str) -> OverlayRow:
    """Store a pending overlay network, with the MTU that fits into the cluster's segment."""
    if cluster.segment_mtu is None:
        raise HostNotReady(f"The cluster {cluster.name!r} has no network yet.")
    overlay = OverlayRow(
        cluster_id=cluster.id,
        name=wanted.name,
        tenant_id=cluster.tenant_id,
        subnet=subnet,
        mtu=overlay_mtu(cluster.segment_mtu, encrypted=wanted.encrypted),
        attachable=wanted.attachable,
        encrypted=wanted.encrypted,
    )
    session.add(overlay)
    session.flush()
    return overlay


def _hosts_of(session: Session, cluster_id: str) -> Sequence[HostRow]:
    on_hosts = select(NodeRow.host_id).where(col(NodeRow.cluster_id) == cluster_id)
    return session.exec(select(HostRow).where(col(HostRow.id).in_(on_hosts)).order_by(col(HostRow.name))).all()


def _subnet(session: Session, cluster_id: str, wanted: str | None, hosts: Sequence[HostRow]) -> str:
    taken = session.exec(select(OverlayRow.subnet).where(col(OverlayRow.cluster_id) == cluster_id)).all()
    if wanted is None:
        return choose_subnet(taken)
    for row in hosts:
        claim = host_from_row(row).claim
        if claim is not None:
            wanted = check_subnet(wanted, claim.network, taken)
    return wanted


def _check_encryption(hosts: Sequence[HostRow]) -> None:
    without = [row.name for row in hosts if CAP_ESP not in row.capabilities]
    if without:
        raise EncryptionUnsupported(f"These hosts of the cluster can't carry ESP: {', '.join(without)}.")
