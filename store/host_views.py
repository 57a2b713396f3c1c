"""What readers get of hosts: the machines themselves, what was measured of them, and the nodes that they carry."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from domain.host_input import fingerprint
from domain.operations import LOCKING_STATES, OPEN_STATES, OperationState
from domain.sizes import Size
from store.host_rooms import reserved_sizes
from store.mapping import error_from_json, host_from_row, node_view, report_from_json, unreachable_from_json
from store.queries import find_host
from store.tables import ClusterRow, HostRow, NodeRow, OperationRow
from store.views import HostNodeView, HostReportView, HostView

_FAILED = (OperationState.FAILED, OperationState.CANCELLED)


def list_hosts(session: Session, *, limit: int, marker: str | None, name: str | None) -> list[HostView]:
    """Return up to `limit` hosts, oldest first; with `name`, the one of that name in any case."""
    query = select(HostRow)
    if name is not None:
        query = query.where(func.lower(col(HostRow.name)) == name.lower())
    if marker is not None:
        query = query.where(col(HostRow.id) > marker)
    return view_hosts(session, session.exec(query.order_by(col(HostRow.id)).limit(limit)).all())


def view_hosts(session: Session, rows: Sequence[HostRow]) -> list[HostView]:
    """Return the views of hosts, with what is about each now and the nodes that it carries. Five queries."""
    ids = [row.id for row in rows]
    counts: Mapping[str, int] = dict(
        session.exec(
            select(NodeRow.host_id, func.count()).where(col(NodeRow.host_id).in_(ids)).group_by(col(NodeRow.host_id))
        ).all()
    )
    reserved = reserved_sizes(session, ids)
    latest = _latest_operations(session, ids)
    current = _current_operations(session, ids)
    return [
        _view(
            row,
            counts.get(row.id, 0),
            reserved.get(row.id, Size()),
            operation_id=current.get(row.id),
            latest=latest.get(row.id),
        )
        for row in rows
    ]


def view_report(session: Session, host_id: str) -> HostReportView:
    """Return what was last measured of a host; raise `NotFound`."""
    row = find_host(session, host_id)
    checks = () if row.report is None else report_from_json(row.report).checks
    return HostReportView(checks, row.measured_at)


def list_nodes(session: Session, host_id: str, *, limit: int, marker: str | None) -> list[HostNodeView]:
    """Return up to `limit` nodes on a host, of all owners, oldest first; raise `NotFound` for the host."""
    host = find_host(session, host_id)
    query = (
        select(NodeRow, ClusterRow)
        .join(ClusterRow, col(ClusterRow.id) == col(NodeRow.cluster_id))
        .where(col(NodeRow.host_id) == host_id)
    )
    if marker is not None:
        query = query.where(col(NodeRow.id) > marker)
    rows = session.exec(query.order_by(col(NodeRow.id)).limit(limit))
    return [
        HostNodeView(node_view(node, host, cluster.type["coe"]), cluster.id, cluster.name) for node, cluster in rows
    ]


def _latest_operations(session: Session, host_ids: Sequence[str]) -> Mapping[str, OperationRow]:
    """Return, by host, the newest operation that has ended."""
    newest = (
        select(func.max(OperationRow.id))
        .where(col(OperationRow.host_id).in_(host_ids), col(OperationRow.state).not_in(OPEN_STATES))
        .group_by(col(OperationRow.host_id))
    )
    rows = session.exec(select(OperationRow).where(col(OperationRow.id).in_(newest)))
    return {str(row.host_id): row for row in rows}


def _current_operations(session: Session, host_ids: Sequence[str]) -> Mapping[str, str]:
    """Return, by host, the operation that is about it; one that is being cancelled counts where there is no other."""
    found = session.exec(
        select(OperationRow.host_id, OperationRow.state, OperationRow.id)
        .where(col(OperationRow.host_id).in_(host_ids), col(OperationRow.state).in_(OPEN_STATES))
        .order_by(col(OperationRow.id))
    ).all()
    by_weight = sorted(found, key=lambda item: item[1] in LOCKING_STATES)
    return {str(host_id): operation_id for host_id, _state, operation_id in by_weight}


def _view(
    row: HostRow, node_count: int, reserved: Size, *, operation_id: str | None, latest: OperationRow | None
) -> HostView:
    host = host_from_row(row)
    measured: dict[str, Any] = row.report or {}
    failed = latest is not None and latest.state in _FAILED
    return HostView(
        id=host.id,
        name=host.name,
        address=host.address,
        root=host.root,
        user=host.login.user,
        port=host.login.port,
        identity=host.login.identity,
        host_key=host.login.host_key,
        fingerprint=fingerprint(host.login.host_key),
        zone=host.zone,
        state=host.state,
        cordoned=host.cordoned,
        unreachable=unreachable_from_json(row.unreachable),
        endpoint=host.endpoint,
        fabric_address=host.fabric_address,
        device=host.device,
        mtu=host.mtu,
        network=None if host.claim is None else host.claim.network,
        size=host.size,
        free=Size(**measured.get("free", {})),
        reserved=reserved,
        node_count=node_count,
        node_limit=0 if host.claim is None else host.claim.uid_ranges,
        capabilities=tuple(sorted(host.capabilities)),
        error=error_from_json(latest.error) if failed and latest is not None else None,
        operation_id=operation_id,
        measured_at=row.measured_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
