"""The record of every attempt of every step: two small writes for each, in the way of every activity."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from domain.errors import ErrorRecord, NotFound
from domain.operations import StepState
from store.columns import now
from store.mapping import error_to_json
from store.tables import StepRow


def steps_of(session: Session, operation_id: str) -> Sequence[StepRow]:
    """Return an operation's steps in the order in which they began."""
    return session.exec(
        select(StepRow)
        .where(col(StepRow.operation_id) == operation_id)
        .order_by(col(StepRow.started_at), col(StepRow.activity_id), col(StepRow.attempt))
    ).all()


def step_started(
    session: Session,
    operation_id: str,
    activity_id: str,
    *,
    name: str,
    node: str | None,
    host: str | None,
    attempt: int,
) -> None:
    """Record that an attempt began. Earlier ones that never ended are lost; the same one again changes nothing."""
    moment = now()
    if attempt > 1:
        session.exec(
            update(StepRow)
            .where(
                *_of(operation_id, activity_id),
                col(StepRow.attempt) < attempt,
                col(StepRow.state) == StepState.RUNNING,
            )
            .values(state=StepState.LOST, ended_at=moment)
        )
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    begun = insert(StepRow).values(
        operation_id=operation_id,
        activity_id=activity_id,
        attempt=attempt,
        name=name,
        node=node,
        host=host,
        state=StepState.RUNNING,
        started_at=moment,
    )
    try:
        session.exec(begun.on_conflict_do_nothing())
    except IntegrityError as error:  # the foreign key: nothing else of the statement can be violated
        raise NotFound(f"There is no operation {operation_id}.") from error


def step_ended(
    session: Session,
    operation_id: str,
    activity_id: str,
    *,
    attempt: int,
    error: ErrorRecord | None,
    note: str | None,
) -> None:
    """Record how an attempt ended, and what people should know of it; raise `NotFound`.

    The first word counts, except that it was lost.
    """
    this = (*_of(operation_id, activity_id), col(StepRow.attempt) == attempt)
    ended = session.exec(
        update(StepRow)
        .where(*this, col(StepRow.state).in_([StepState.RUNNING, StepState.LOST]))
        .values(
            state=StepState.SUCCEEDED if error is None else StepState.FAILED,
            error=error_to_json(error),
            note=note,
            ended_at=now(),
        )
    )
    if ended.rowcount == 0 and session.exec(select(StepRow.attempt).where(*this)).one_or_none() is None:
        raise NotFound(f"The operation {operation_id} has no attempt {attempt} of {activity_id}.")


def _of(operation_id: str, activity_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return col(StepRow.operation_id) == operation_id, col(StepRow.activity_id) == activity_id
