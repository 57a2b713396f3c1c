"""The network that a cluster's nodes are on: taken with the first reservation, given back with the last node."""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from domain.allocation import choose_slot, cluster_subnet
from domain.clusters import COE_KUBERNETES, ClusterStatus
from domain.errors import HostNotReady
from domain.hosts import Host
from domain.overlays import DEFAULT_OVERLAY, VXLAN_OVERHEAD_BYTES, choose_subnet
from store.acceptance import first_overlay
from store.columns import now
from store.mapping import options_from_json, type_from_json
from store.overlay_acceptance import NewOverlay, add_overlay, add_pod_network
from store.queries import node_network, nodes_of
from store.tables import ClusterRow


def give_network(session: Session, cluster: ClusterRow, chosen: Sequence[Host], others: Sequence[Host]) -> None:
    """Take a slot, and with it a subnet, for a cluster that has none, and fix its MTU.

    `chosen` are the hosts of its nodes, `others` those that may carry more of them later: whatever goes from host to
    host is wrapped in VXLAN, and has to fit on all of them. Raises `HostNotReady` naming a chosen host that has
    claimed another node network than the instance's.
    """
    network = _common_network(session, chosen)
    if cluster.segment_mtu is not None:
        return
    if cluster.slot is None:
        taken = session.exec(select(ClusterRow.slot).where(col(ClusterRow.slot).is_not(None))).all()
        cluster.slot = choose_slot(network, {slot for slot in taken if slot is not None})
        cluster.subnet = cluster_subnet(network, cluster.slot)
    cluster.segment_mtu = min(host.mtu for host in (*chosen, *others)) - VXLAN_OVERHEAD_BYTES
    cluster.updated_at = now()
    session.flush()


def plan_default_overlay(session: Session, cluster: ClusterRow) -> None:
    """Store the overlay network that a new cluster begins with, if it begins with one."""
    options = options_from_json(cluster.options)
    if not first_overlay(type_from_json(cluster.type), options):
        return
    if cluster.type["coe"] == COE_KUBERNETES:
        add_pod_network(session, cluster, options.pod_subnet)
    else:
        add_overlay(session, cluster, NewOverlay(DEFAULT_OVERLAY), choose_subnet(()))


def free_network(session: Session, cluster: ClusterRow) -> None:
    """Give back the network of a deleted cluster of which nothing is left."""
    if cluster.status == ClusterStatus.DELETED and not nodes_of(session, cluster.id):
        cluster.slot = None
        cluster.subnet = None


def _common_network(session: Session, chosen: Sequence[Host]) -> str:
    network = node_network(session)
    for host in chosen:
        if network is None or host.claim is None:
            raise HostNotReady(f"The host {host.name} has claimed no network and no uids.")
        if host.claim.network != network:
            raise HostNotReady(
                f"The host {host.name} has claimed {host.claim.network} for nodes, not {network} like the others.",
                remedy=f"Cordon {host.name} ('carina host cordon {host.name}'), remove it and add it again.",
            )
    if network is None:
        raise HostNotReady("No host has claimed a node network.")
    return network
