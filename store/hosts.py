"""Hosts: the one that Carina runs on, what is recorded of each, and what was seen on them without an owner."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from sqlalchemy import Engine, delete
from sqlmodel import Session, col, select
from uuid_utils.compat import uuid7

from domain.hosts import LOCAL, Host, HostReport, HostState
from store.columns import now
from store.mapping import host_from_row, report_from_json, report_to_json
from store.queries import find_host
from store.tables import HostRow, OrphanRow
from store.transactions import read, write


def ensure_local_host(engine: Engine, *, root: str, name: str) -> Host:
    """Return the machine that Carina runs on as a host, after adding it if it is not there yet.

    What is known of it stays; a new `root` or `name` takes the place of the old.
    """

    def work(session: Session) -> Host:
        row = session.exec(select(HostRow).where(col(HostRow.address) == LOCAL)).one_or_none()
        if row is None:
            host = Host(str(uuid7()), name, LOCAL, root)
            row = HostRow(id=host.id, name=name, address=host.address, root=root, state=host.state, mtu=host.mtu)
            session.add(row)
        elif (row.name, row.root) != (name, root):
            row.name, row.root, row.updated_at = name, root, now()
        session.flush()
        return host_from_row(row)

    return write(engine, work)


def host_report(engine: Engine, host_id: str) -> HostReport | None:
    """Return what was last measured of a host, None if nothing was; raise `NotFound`."""

    def work(session: Session) -> HostReport | None:
        stored = find_host(session, host_id).report
        return None if stored is None else report_from_json(stored)

    return read(engine, work)


def record_host(session: Session, host: Host, report: HostReport | None) -> None:
    """Store a host's state, claim, image, MTU and capabilities, and what was measured; raise `NotFound`.

    One that was measured, or is not ready, is not unreachable. What the operator says of a host (its login, zone,
    cordon and the like) is not stored here. One that is to be removed stays so, whatever was about it when that was
    said.
    """
    row = find_host(session, host.id, lock=True)
    if row.state != HostState.REMOVING:
        row.state = host.state
    row.claim = (
        None
        if host.claim is None
        else {
            "network": host.claim.network,
            "uid_first": host.claim.uid_first,
            "uid_ranges": host.claim.uid_ranges,
        }
    )
    row.image = host.image
    row.fabric_address = host.fabric_address
    row.mtu = host.mtu
    row.capabilities = sorted(host.capabilities)
    row.updated_at = now()
    if row.state != HostState.READY:
        row.unreachable = None  # nobody looks until it is ready again
    if report is not None:
        row.report = report_to_json(report)
        row.size = asdict(report.total)
        row.mtu = report.mtu
        row.capabilities = sorted(report.capabilities)
        row.measured_at = row.updated_at
        row.unreachable = None


def record_answers(session: Session, answers: Mapping[str, str | None]) -> None:
    """Store, by host, why it does not answer, or with None that it does. Hosts that are not ready are left out.

    Since when a host does not answer stays as it was first stored.
    """
    rows = session.exec(
        select(HostRow)
        .where(col(HostRow.id).in_(answers), col(HostRow.state) == HostState.READY)
        .order_by(col(HostRow.id))
        .with_for_update(key_share=True)
    )
    for row in rows:
        reason = answers[row.id]
        if reason is None:
            row.unreachable = None
        elif row.unreachable is None or row.unreachable["reason"] != reason:
            since = now().isoformat() if row.unreachable is None else row.unreachable["since"]
            row.unreachable = {"since": since, "reason": reason}


def orphan_age_s(session: Session, host_id: str, name: str) -> float:
    """Return the seconds since that orphan was first reported; the first report counts as 0."""
    known = session.get(OrphanRow, (host_id, name))
    if known is not None:
        return max(0.0, (now() - known.first_seen_at).total_seconds())
    find_host(session, host_id)
    session.add(OrphanRow(host_id=host_id, name=name))
    return 0.0


def forget_orphans_except(session: Session, host_id: str, names: Sequence[str]) -> None:
    """Drop reports of orphans on the host that are no longer seen."""
    session.exec(delete(OrphanRow).where(col(OrphanRow.host_id) == host_id, col(OrphanRow.name).not_in(names)))
