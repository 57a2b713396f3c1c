"""Ports of hosts that lead to clusters: those that owners asked for, and those of native APIs."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete
from sqlmodel import Session, col, select

from domain.clusters import COE_KUBERNETES
from domain.errors import Conflict, NotFound, PortTaken
from domain.hosts import Endpoint, Host
from domain.nodes import NodeState
from domain.operations import OPEN_STATES, OperationKind
from domain.publications import Protocol, Publication, check_host_port, check_port
from store.acceptance import accepted, add_operation, find_idle_cluster
from store.mapping import host_from_row
from store.queries import find_cluster, find_host
from store.tables import ClusterRow, HostRow, NodeRow, OperationRow, PublicationRow
from store.views import Accepted, PublicationView

_API_PORTS = {False: 2376, True: 6443}
"""The port of a node's native API, by whether the cluster is one of Kubernetes."""
_HERE = (NodeState.RESERVED, NodeState.ACTIVE, NodeState.REMOVING)
_BEST_FIRST = (NodeState.ACTIVE, NodeState.RESERVED, NodeState.REMOVING)


@dataclass(frozen=True, slots=True)
class NewPublication:
    """What was asked for: a port of the cluster's hosts that leads to one of its nodes."""

    host_port: int
    node_port: int
    protocol: Protocol


def accept_publish(
    session: Session, tenant_id: str, cluster_id: str, wanted: NewPublication
) -> tuple[Accepted, PublicationView]:
    """Store a port that is to lead to the cluster, and the operation that sees to it."""
    check_host_port(wanted.host_port)
    check_port(wanted.node_port, field="node_port")
    cluster = find_idle_cluster(session, tenant_id, cluster_id, "given a published port")
    hosts = _publishing_hosts(session, cluster.id)
    if not hosts:
        raise Conflict(
            f"The hosts of the cluster {cluster.name!r} publish no ports.",
            remedy=f"Go to port {wanted.node_port} at the nodes' own addresses ('carina nodes {cluster.name}'), from "
            "where there is a route to them; from the service's own machine if they are there.",
        )
    _check_port_free(session, cluster, wanted)
    row = PublicationRow(
        host_port=wanted.host_port,
        protocol=wanted.protocol,
        cluster_id=cluster.id,
        tenant_id=cluster.tenant_id,
        node_port=wanted.node_port,
    )
    session.add(row)
    session.flush()  # the primary key tells if another is faster
    operation = add_operation(session, cluster, OperationKind.PUBLISH, _params(row))
    return accepted(session, cluster, operation), _view(row, hosts)


def accept_unpublish(
    session: Session, tenant_id: str, cluster_id: str, host_port: int, protocol: Protocol
) -> tuple[Accepted, PublicationView]:
    """Store that a port is to lead to the cluster no more, and the operation that sees to it.

    The port stays the cluster's until then.
    """
    cluster = find_idle_cluster(session, tenant_id, cluster_id, "rid of a published port")
    row = session.get(PublicationRow, (host_port, protocol))
    if row is None or row.cluster_id != cluster_id:
        raise NotFound(f"The cluster {cluster.name!r} has no published port {host_port}/{protocol}.")
    operation = add_operation(session, cluster, OperationKind.UNPUBLISH, _params(row))
    return accepted(session, cluster, operation), _view(row, _publishing_hosts(session, cluster.id))


def list_publications(
    session: Session, tenant_id: str, cluster_id: str, *, limit: int, after: tuple[int, str] | None
) -> list[PublicationView]:
    """Return up to `limit` published ports of a cluster, by port and protocol; raise `NotFound` for the cluster."""
    find_cluster(session, cluster_id, tenant_id=tenant_id)
    query = select(PublicationRow).where(col(PublicationRow.cluster_id) == cluster_id)
    if after is not None:
        port, protocol = after
        same = (col(PublicationRow.host_port) == port) & (col(PublicationRow.protocol) > protocol)
        query = query.where((col(PublicationRow.host_port) > port) | same)
    query = query.order_by(col(PublicationRow.host_port), col(PublicationRow.protocol)).limit(limit)
    hosts = _publishing_hosts(session, cluster_id)
    return [_view(row, hosts) for row in session.exec(query)]


def host_publications(session: Session, host_id: str) -> list[Publication]:
    """Return all that a host's ports are to lead to now; nothing on a host that publishes none. Raises `NotFound`.

    A port that is on its way out is left out. One that owners asked for leads to the cluster's node on the host with
    the lowest index, of those that stay if there are any.
    """
    if host_from_row(find_host(session, host_id)).endpoint is not Endpoint.PUBLISHED:
        return []
    nodes = session.exec(
        select(NodeRow, ClusterRow)
        .join(ClusterRow, col(ClusterRow.id) == col(NodeRow.cluster_id))
        .where(col(NodeRow.host_id) == host_id, col(NodeRow.state).in_(_HERE))
        .order_by(col(NodeRow.address))
    ).all()
    apis = [
        Publication(node.api_port, node.address, _API_PORTS[cluster.type["coe"] == COE_KUBERNETES])
        for node, cluster in nodes
        if node.api_port is not None
    ]
    doors: dict[str, NodeRow] = {}
    for node, _cluster in sorted(nodes, key=lambda pair: (_BEST_FIRST.index(NodeState(pair[0].state)), pair[0].index)):
        doors.setdefault(node.cluster_id, node)
    asked = [
        Publication(row.host_port, doors[row.cluster_id].address, row.node_port, Protocol(row.protocol))
        for row in _standing(session, list(doors))
    ]
    return sorted([*apis, *asked], key=lambda each: (each.host_port, each.protocol))


def forget_publication(session: Session, operation: OperationRow) -> None:
    """Drop the port that the operation is about: it was withdrawn, or could not be published."""
    session.exec(
        delete(PublicationRow).where(
            col(PublicationRow.host_port) == operation.params["host_port"],
            col(PublicationRow.protocol) == operation.params["protocol"],
            col(PublicationRow.cluster_id) == operation.cluster_id,
        )
    )


def forget_all(session: Session, cluster_id: str) -> None:
    """Drop all ports of a cluster that is gone."""
    session.exec(delete(PublicationRow).where(col(PublicationRow.cluster_id) == cluster_id))


def _check_port_free(session: Session, cluster: ClusterRow, wanted: NewPublication) -> None:
    taken = session.get(PublicationRow, (wanted.host_port, wanted.protocol))
    port = f"{wanted.host_port}/{wanted.protocol}"
    if taken is not None:
        if taken.cluster_id == cluster.id:
            whose = f"of this cluster's port {taken.node_port}"
        elif taken.tenant_id == cluster.tenant_id:
            whose = f"of the cluster {session.get_one(ClusterRow, taken.cluster_id).name!r}"
        else:
            whose = "of another cluster"
        raise PortTaken(f"The port {port} is one {whose}.", field="host_port")
    for host in session.exec(select(HostRow).order_by(col(HostRow.name))):
        known = host_from_row(host)
        if not known.local and known.login.port == wanted.host_port and wanted.protocol == Protocol.TCP:
            raise PortTaken(f"At port {port}, Carina reaches the host {known.name!r} by SSH.", field="host_port")


def _standing(session: Session, cluster_ids: Sequence[str]) -> list[PublicationRow]:
    """Return the published ports of clusters but those that an operation is withdrawing."""
    rows = session.exec(select(PublicationRow).where(col(PublicationRow.cluster_id).in_(cluster_ids))).all()
    leaving = session.exec(
        select(OperationRow.params).where(
            col(OperationRow.cluster_id).in_(cluster_ids),
            col(OperationRow.kind) == OperationKind.UNPUBLISH,
            col(OperationRow.state).in_(OPEN_STATES),
        )
    ).all()
    gone = {(params["host_port"], params["protocol"]) for params in leaving}
    return [row for row in rows if (row.host_port, row.protocol) not in gone]


def _publishing_hosts(session: Session, cluster_id: str) -> list[Host]:
    """Return the hosts that carry nodes of the cluster and publish ports, by name."""
    carrying = select(NodeRow.host_id).where(col(NodeRow.cluster_id) == cluster_id, col(NodeRow.state).in_(_HERE))
    rows = session.exec(
        select(HostRow)
        .where(col(HostRow.id).in_(carrying), col(HostRow.endpoint) == Endpoint.PUBLISHED)
        .order_by(col(HostRow.name))
    )
    return [host_from_row(row) for row in rows]


def _params(row: PublicationRow) -> dict[str, object]:
    return {"host_port": row.host_port, "node_port": row.node_port, "protocol": row.protocol}


def _view(row: PublicationRow, hosts: Sequence[Host]) -> PublicationView:
    return PublicationView(
        host_port=row.host_port,
        node_port=row.node_port,
        protocol=Protocol(row.protocol),
        addresses=tuple(f"{_in_url(host.public_address)}:{row.host_port}" for host in hosts),
        created_at=row.created_at,
    )


def _in_url(address: str) -> str:
    """Return an address as it stands before a port (RFC 3986, section 3.2.2)."""
    try:
        return f"[{ipaddress.IPv6Address(address)}]"
    except ValueError:
        return address
