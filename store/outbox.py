"""The store's face for the reconciler: accepted operations of every owner, whose workflows have to be looked after."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Engine
from sqlmodel import Session, col, select

from domain.errors import Conflict, ErrorRecord
from domain.hosts import LOCAL, HostState
from domain.operations import LOCKING_STATES, OperationKind, OperationState
from store.columns import now
from store.host_acceptance import add_operation
from store.mapping import operation_view
from store.outcomes import fail
from store.queries import find_host, lock_operation
from store.steps import steps_of
from store.tables import HostRow, OperationRow
from store.transactions import read, write
from store.views import OperationView


class Outbox:
    """Operations of the whole system. Every call blocks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def pending(self, older_than_s: float) -> Sequence[OperationView]:
        """Return operations accepted at least so many seconds ago whose workflow has not begun, oldest first."""
        query = (
            select(OperationRow)
            .where(
                col(OperationRow.state) == OperationState.PENDING,
                col(OperationRow.created_at) <= now() - timedelta(seconds=older_than_s),
            )
            .order_by(col(OperationRow.id))
        )
        return read(self._engine, lambda session: [operation_view(row) for row in session.exec(query)])

    def running(self) -> Sequence[OperationView]:
        """Return operations that are running or cancelling, oldest first."""
        query = (
            select(OperationRow)
            .where(col(OperationRow.state).in_([OperationState.RUNNING, OperationState.CANCELLING]))
            .order_by(col(OperationRow.id))
        )
        return read(self._engine, lambda session: [operation_view(row) for row in session.exec(query)])

    def mark_lost(self, operation_id: str, error: ErrorRecord) -> None:
        """Close an operation whose workflow ended without a word; one that has ended stays as it is.

        It counts as failed, or as cancelled if that was asked for. Raises `NotFound`.
        """

        def work(session: Session) -> None:
            operation, cluster = lock_operation(session, operation_id)
            cancelled = operation.state == OperationState.CANCELLING
            fail(session, operation, cluster, error, cancelled=cancelled)

        write(self._engine, work)

    def accept_prepare_host(self, host_id: str) -> OperationView:
        """Store that a host is to be prepared, or return the operation that is about it already; raise `NotFound`.

        This is for the machine itself, at each start. Others are asked for by people: of those, only one that was
        left in the middle of its preparation is taken; any other raises `Conflict`.
        """

        def work(session: Session) -> OperationView:
            host = find_host(session, host_id, lock=True)
            operation = session.exec(
                select(OperationRow).where(
                    col(OperationRow.host_id) == host_id, col(OperationRow.state).in_(LOCKING_STATES)
                )
            ).one_or_none()
            if operation is not None:
                return operation_view(operation)
            if host.address != LOCAL and host.state != HostState.PREPARING:
                raise Conflict(f"The host {host.name!r} is {host.state}; people say when it is prepared again.")
            return operation_view(add_operation(session, host, OperationKind.PREPARE_HOST))

        return write(self._engine, work)

    def last_prepare_host(self) -> OperationView | None:
        """Return the newest operation that prepares the machine itself, with its steps, or None."""

        def work(session: Session) -> OperationView | None:
            here = select(HostRow.id).where(col(HostRow.address) == LOCAL)
            operation = session.exec(
                select(OperationRow)
                .where(col(OperationRow.kind) == OperationKind.PREPARE_HOST, col(OperationRow.host_id).in_(here))
                .order_by(col(OperationRow.id).desc())
                .limit(1)
            ).one_or_none()
            return None if operation is None else operation_view(operation, steps_of(session, operation.id))

        return read(self._engine, work)
