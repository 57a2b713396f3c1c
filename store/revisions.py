"""What tells whether an operation has changed since it was last read, without reading it all."""

from collections import Counter
from typing import NamedTuple

from sqlalchemy import ColumnElement, Engine, bindparam, case, func, select
from sqlmodel import col

from domain.errors import NotFound
from domain.operations import OperationState, StepState
from store.engine import READ_ONLY
from store.tables import OperationRow, StepRow
from store.views import OperationView


class Revision(NamedTuple):
    """An operation's state, and how many of its steps' attempts there are and are in which state.

    No two moments between which something changed have the same: attempts are only ever added, and one goes from
    running to lost to succeeded or failed, never back (see `store.steps`).
    """

    state: OperationState
    attempts: int
    running: int
    succeeded: int
    failed: int

    def __str__(self) -> str:
        """Return it as clients get it, for whom it has no meaning of its own."""
        return "-".join(map(str, self))


def revision_of(view: OperationView) -> Revision:
    """Return the revision of an operation that was read with its steps."""
    states = Counter(step.state for step in view.steps)
    return Revision(
        view.state,
        len(view.steps),
        states[StepState.RUNNING],
        states[StepState.SUCCEEDED],
        states[StepState.FAILED],
    )


def _attempts(state: StepState) -> ColumnElement[int]:
    return func.count(case((col(StepRow.state) == state, 1)))


_CURRENT = (
    select(
        col(OperationRow.state),
        func.count(col(StepRow.state)),
        _attempts(StepState.RUNNING),
        _attempts(StepState.SUCCEEDED),
        _attempts(StepState.FAILED),
    )
    .join(StepRow, col(StepRow.operation_id) == col(OperationRow.id), isouter=True)
    .where(
        col(OperationRow.id) == bindparam("operation_id"),
        col(OperationRow.tenant_id) == bindparam("tenant_id"),
    )
    .group_by(col(OperationRow.id))
)


def current_revision(engine: Engine, operation_id: str, tenant_id: str) -> Revision:
    """Return the revision of an operation as it is now; raise `NotFound`. It is cheap, being asked often."""
    with engine.execution_options(**{READ_ONLY: True}).connect() as connection:
        row = connection.execute(_CURRENT, {"operation_id": operation_id, "tenant_id": tenant_id}).one_or_none()
    if row is None:
        raise NotFound(f"There is no operation {operation_id}.")
    return Revision(OperationState(row[0]), *row[1:])
