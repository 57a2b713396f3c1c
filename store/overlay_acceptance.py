"""What is stored when a change to a cluster's overlay networks is accepted."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from domain.clusters import COE_KUBERNETES
from domain.errors import Conflict, EncryptionUnsupported, HostNotReady, InvalidInput, NotFound, OverlayExists
from domain.hosts import CAP_ESP
from domain.operations import OperationKind
from domain.overlays import (
    DEFAULT_OVERLAY,
    OverlayState,
    check_namespace_name,
    check_overlay_name,
    check_services,
    check_subnet,
    choose_subnet,
    overlay_mtu,
)
from store.acceptance import accepted, add_operation, find_idle_cluster
from store.mapping import host_from_row, overlay_view
from store.queries import find_cluster
from store.tables import ClusterRow, HostRow, NodeRow, OverlayRow
from store.views import Accepted, OverlayView


@dataclass(frozen=True, slots=True)
class NewOverlay:
    """What was asked for. None is what was left out: a subnet is then chosen, and the network is attachable.

    Networks of Swarm have all but `services`; on Kubernetes, where it is a namespace, they have `services` alone.
    """

    name: str
    subnet: str | None = None
    attachable: bool | None = None
    encrypted: bool | None = None
    services: Sequence[str] | None = None


def accept_overlay(
    session: Session, tenant_id: str, cluster_id: str, wanted: NewOverlay
) -> tuple[Accepted, OverlayView]:
    """Store an overlay network that is to be made, and the operation that will."""
    namespaces = find_cluster(session, cluster_id, tenant_id=tenant_id).type["coe"] == COE_KUBERNETES
    if namespaces:
        _check_namespace(wanted)
    else:
        _check_network(wanted)
    cluster = find_idle_cluster(session, tenant_id, cluster_id, "given an overlay network")
    if session.get(OverlayRow, (cluster_id, wanted.name)) is not None:
        raise OverlayExists(f"The cluster {cluster.name!r} has an overlay network {wanted.name!r}.", field="name")
    if namespaces:
        overlay = _add(session, cluster, wanted.name, None, services=list(wanted.services or ()))
    else:
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
    if name == DEFAULT_OVERLAY and cluster.type["coe"] == COE_KUBERNETES:
        raise Conflict(
            f"{name!r} is the pod network of the cluster {cluster.name!r}, without which it is none.",
            remedy="Create a cluster with the network 'none' to bring your own.",
        )
    overlay.state = OverlayState.REMOVING
    operation = add_operation(session, cluster, OperationKind.REMOVE_OVERLAY, {"overlay": name})
    return accepted(session, cluster, operation), overlay_view(overlay)


def add_overlay(session: Session, cluster: ClusterRow, wanted: NewOverlay, subnet: str) -> OverlayRow:
    """Store a pending overlay network of a Swarm, with the MTU that fits into the cluster's segment."""
    encrypted = wanted.encrypted is True
    mtu = overlay_mtu(_segment_mtu(cluster), encrypted=encrypted)
    return _add(
        session, cluster, wanted.name, subnet, mtu=mtu, attachable=wanted.attachable is not False, encrypted=encrypted
    )


def add_pod_network(session: Session, cluster: ClusterRow, subnet: str) -> OverlayRow:
    """Store the pending pod network of a Kubernetes cluster. Nothing is wrapped on it: nodes route to each other."""
    return _add(session, cluster, DEFAULT_OVERLAY, subnet)


def _add(
    session: Session,
    cluster: ClusterRow,
    name: str,
    subnet: str | None,
    *,
    mtu: int | None = None,
    attachable: bool = True,
    encrypted: bool = False,
    services: Sequence[str] = (),
) -> OverlayRow:
    overlay = OverlayRow(
        cluster_id=cluster.id,
        name=name,
        tenant_id=cluster.tenant_id,
        subnet=subnet,
        mtu=_segment_mtu(cluster) if mtu is None else mtu,
        attachable=attachable,
        encrypted=encrypted,
        services=list(services),
    )
    session.add(overlay)
    session.flush()
    return overlay


def _segment_mtu(cluster: ClusterRow) -> int:
    if cluster.segment_mtu is None:
        raise HostNotReady(f"The cluster {cluster.name!r} has no network yet.")
    return cluster.segment_mtu


def _check_network(wanted: NewOverlay) -> None:
    check_overlay_name(wanted.name)
    if wanted.services is not None:
        raise InvalidInput(
            "Only the overlay networks of Kubernetes clusters expose services.",
            field="services",
            remedy="Leave the field out; publish ports with 'docker service create --publish'.",
        )


def _check_namespace(wanted: NewOverlay) -> None:
    check_namespace_name(wanted.name)
    check_services(wanted.services or ())
    for field in ("subnet", "attachable", "encrypted"):
        if getattr(wanted, field) is not None:
            raise InvalidInput(
                f"An overlay network of a Kubernetes cluster is a namespace on the pod network, without {field!r}.",
                field=field,
                remedy="Leave the field out.",
            )


def _hosts_of(session: Session, cluster_id: str) -> Sequence[HostRow]:
    on_hosts = select(NodeRow.host_id).where(col(NodeRow.cluster_id) == cluster_id)
    return session.exec(select(HostRow).where(col(HostRow.id).in_(on_hosts)).order_by(col(HostRow.name))).all()


def _subnet(session: Session, cluster_id: str, wanted: str | None, hosts: Sequence[HostRow]) -> str:
    rows = session.exec(select(OverlayRow.subnet).where(col(OverlayRow.cluster_id) == cluster_id)).all()
    taken = [subnet for subnet in rows if subnet is not None]
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
