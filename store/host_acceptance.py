"""What is stored when a change to a host is accepted: the host, the operation, or nothing."""

from collections.abc import Mapping
from dataclasses import asdict

from sqlalchemy import func
from sqlmodel import Session, col, select
from uuid_utils.compat import uuid7

from domain.errors import Conflict, HostBusy, HostInUse, NameTaken, NotFound
from domain.host_input import AskedHost
from domain.hosts import LOCAL, HostState
from domain.operations import LOCKING_STATES, OPEN_STATES, OperationKind, OperationState
from domain.publications import Protocol
from store.columns import now
from store.host_views import view_hosts
from store.mapping import host_from_row, operation_view, stored_address
from store.queries import find_host
from store.tables import DEFAULT_TENANT, ClusterRow, HostRow, NodeRow, OperationRow, PublicationRow
from store.views import HostAccepted

_MAX_NAMED = 10


def check_free(session: Session, wanted: AskedHost) -> None:
    """Raise `NameTaken` or `Conflict` where another host has the name or an address, or a cluster the SSH port."""
    named = session.exec(select(HostRow).where(func.lower(col(HostRow.name)) == wanted.name.lower())).one_or_none()
    if named is not None:
        raise NameTaken(
            f"The host {named.name!r} ({named.id}, {named.state}) has that name.",
            field="name",
            remedy="Choose another name, or remove the host that has it.",
        )
    address = stored_address(wanted.address, wanted.port)
    there = session.exec(select(HostRow).where(col(HostRow.address) == address)).one_or_none()
    if there is not None:
        raise Conflict(
            f"The host {there.name!r} is reached at {wanted.address}, port {wanted.port}, already.",
            field="address",
            remedy="Prepare that host again, or remove it first.",
        )
    if wanted.host_key:
        rows = session.exec(select(HostRow).order_by(col(HostRow.id)))
        same = next((row for row in rows if row.login.get("host_key") == wanted.host_key), None)
        if same is not None:
            raise Conflict(
                f"The host {same.name!r} has that host key: it is the same machine, or one is a copy of the other.",
                field="host_key",
                remedy="If they are two machines, make a key anew on this one: rm /etc/ssh/ssh_host_*; ssh-keygen -A.",
            )
    if wanted.fabric_address:
        query = select(HostRow).where(col(HostRow.fabric_address) == wanted.fabric_address)
        other = session.exec(query).first()
        if other is not None:
            raise Conflict(
                f"The host {other.name!r} has the address {wanted.fabric_address} in the fabric.",
                field="fabric_address",
                remedy="Send the IPv4 address of this host.",
            )
    if session.get(PublicationRow, (wanted.port, Protocol.TCP)) is not None:
        raise Conflict(
            f"The port {wanted.port} of all hosts leads to a cluster, so this host could not be reached by SSH at it.",
            field="port",
            remedy="Let the host's SSH server listen on another port, or withdraw the published one.",
        )


def accept_add(session: Session, wanted: AskedHost, root: str) -> HostAccepted:
    """Store a new host, and that it is to be prepared."""
    check_free(session, wanted)
    host = wanted.host(str(uuid7()), root)
    row = HostRow(
        id=host.id,
        name=host.name,
        address=stored_address(host.address, host.login.port),
        root=host.root,
        state=host.state,
        mtu=host.mtu,
        login=asdict(host.login),
        zone=host.zone,
        endpoint=host.endpoint,
        fabric_address=host.fabric_address,
        fabric_address_given=host.fabric_address_given,
        device=host.device,
        size=asdict(host.size),
    )
    session.add(row)
    session.flush()
    return _accepted(session, row, add_operation(session, row, OperationKind.PREPARE_HOST))


def accept_task(
    session: Session, host_id: str, kind: OperationKind, *, force: bool, host_key: str = ""
) -> HostAccepted:
    """Store that a host is to be prepared again, by that key if one is given, drained or removed."""
    host = find_host(session, host_id, lock=True)
    cancel = None
    for running in _open_operations(session, host_id):
        if running.kind == kind == OperationKind.REMOVE_HOST and running.params.get("force") in {True, force}:
            return _accepted(session, host, running, replayed=True)
        if not (force and kind is OperationKind.REMOVE_HOST):
            raise _busy(host, running)
        running.state = OperationState.CANCELLING
        cancel = cancel or running
    match kind:
        case OperationKind.PREPARE_HOST:
            _begin_preparation(host, host_key)
        case OperationKind.DRAIN_HOST:
            _begin_drain(host)
        case _:
            _begin_removal(session, host, force=force)
    host.updated_at = now()
    session.flush()  # before the insert: the unique index sees each statement by itself
    params = {"force": force} if kind is OperationKind.REMOVE_HOST else {}
    return _accepted(session, host, add_operation(session, host, kind, params), cancel=cancel)


def accept_bring_up(session: Session, host_id: str) -> str | None:
    """Store that a host without its storage pool is to be prepared anew, and return the operation's id.

    None where the host is not ready or not there any more, or something else is about it.
    """
    try:
        host = find_host(session, host_id, lock=True)
    except NotFound:
        return None
    if host.state != HostState.READY or _open_operations(session, host_id):
        return None
    return add_operation(session, host, OperationKind.PREPARE_HOST).id


def set_cordoned(session: Session, host_id: str, *, cordoned: bool) -> None:
    """Let a host take new nodes, or not; raise `NotFound`, `HostBusy`, and `Conflict` for one on its way out."""
    host = find_host(session, host_id, lock=True)
    if not cordoned:
        _check_stays(host)
        for running in _open_operations(session, host_id):
            if running.kind == OperationKind.DRAIN_HOST:
                raise _busy(host, running)
    if host.cordoned != cordoned:
        host.cordoned = cordoned
        host.updated_at = now()
        session.flush()


def add_operation(
    session: Session, host: HostRow, kind: OperationKind, params: Mapping[str, object] | None = None
) -> OperationRow:
    """Store a pending operation on a host. Its workflow id is what all changes to the host share."""
    operation = OperationRow(
        id=str(uuid7()),
        tenant_id=DEFAULT_TENANT,
        kind=kind,
        host_id=host.id,
        params={"host_name": host.name, **(params or {})},
        workflow_id=f"host-{host.id}",
    )
    session.add(operation)
    session.flush()
    return operation


def _begin_preparation(host: HostRow, host_key: str) -> None:
    _check_stays(host)
    if host_key and host.address == LOCAL:
        raise Conflict(f"The host {host.name!r} is the machine that Carina runs on, which nobody asks for a key.")
    if host_key:
        host.login = {**host.login, "host_key": host_key}
    if host.state == HostState.ERROR:
        host.state = HostState.PREPARING


def _begin_drain(host: HostRow) -> None:
    _check_stays(host)
    host.cordoned = True


def _begin_removal(session: Session, host: HostRow, *, force: bool) -> None:
    if host.address == LOCAL:
        raise Conflict(
            f"The host {host.name!r} is the machine that Carina runs on; it can't be removed.",
            remedy="Drain it to move its nodes elsewhere; 'carinad down' takes all of Carina off it.",
        )
    if not force:
        _check_empty(session, host)
    host.cordoned = True
    host.state = HostState.REMOVING


def _check_stays(host: HostRow) -> None:
    if host.state == HostState.REMOVING:
        raise Conflict(
            f"The host {host.name!r} is being removed.",
            remedy="Let it be removed, then add it again.",
        )


def _check_empty(session: Session, host: HostRow) -> None:
    owners = session.exec(
        select(ClusterRow.name, func.count())
        .join(NodeRow, col(NodeRow.cluster_id) == col(ClusterRow.id))
        .where(col(NodeRow.host_id) == host.id)
        .group_by(col(ClusterRow.id), col(ClusterRow.name))
        .order_by(col(ClusterRow.name))
    ).all()
    if owners:
        named = ", ".join(f"{name!r} ({count})" for name, count in owners[:_MAX_NAMED])
        more = f" and {len(owners) - _MAX_NAMED} more" if len(owners) > _MAX_NAMED else ""
        raise HostInUse(f"The host {host.name!r} carries nodes of these clusters: {named}{more}.")


def _open_operations(session: Session, host_id: str) -> list[OperationRow]:
    """Return what is about the host: that which locks it first; what is being cancelled keeps nobody out."""
    found = session.exec(
        select(OperationRow)
        .where(col(OperationRow.host_id) == host_id, col(OperationRow.state).in_(OPEN_STATES))
        .order_by(col(OperationRow.id))
    ).all()
    return sorted(found, key=lambda operation: operation.state not in LOCKING_STATES)


def _busy(host: HostRow, operation: OperationRow) -> HostBusy:
    name = host_from_row(host).name
    return HostBusy(
        f"The host {name!r} is being changed by the operation {operation.id} ({operation.kind}, {operation.state})."
    )


def _accepted(
    session: Session,
    host: HostRow,
    operation: OperationRow,
    *,
    replayed: bool = False,
    cancel: OperationRow | None = None,
) -> HostAccepted:
    return HostAccepted(
        operation=operation_view(operation),
        host=view_hosts(session, [host])[0],
        replayed=replayed,
        cancel=None if cancel is None else operation_view(cancel),
    )
