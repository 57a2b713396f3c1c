"""The record of every attempt of every step: two small writes for each, in the way of every activity."""

from sqlalchemy import update
from sqlmodel import Session, col

from domain.errors import ErrorRecord, NotFound
from domain.operations import StepState
from store.columns import now
from store.mapping import error_to_json
from store.tables import OperationRow, StepRow


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
    if session.get(StepRow, (operation_id, activity_id, attempt)) is not None:
        return
    if session.get(OperationRow, operation_id) is None:
        raise NotFound(f"There is no operation {operation_id}.")
    moment = now()
    session.exec(
        update(StepRow)
        .where(
            col(StepRow.operation_id) == operation_id,
            col(StepRow.activity_id) == activity_id,
            col(StepRow.attempt) < attempt,
            col(StepRow.state) == StepState.RUNNING,
        )
        .values(state=StepState.LOST, ended_at=moment)
    )
    session.add(
        StepRow(
            operation_id=operation_id,
            activity_id=activity_id,
            attempt=attempt,
            name=name,
            node=node,
            host=host,
            state=StepState.RUNNING,
            started_at=moment,
        )
    )


def step_ended(
    session: Session, operation_id: str, activity_id: str, *, attempt: int, error: ErrorRecord | None
) -> None:
    """Record how an attempt ended; the first word counts, except that it was lost. Raises `NotFound`."""
    step = session.get(StepRow, (operation_id, activity_id, attempt))
    if step is None:
        raise NotFound(f"The operation {operation_id} has no attempt {attempt} of {activity_id}.")
    if step.state not in {StepState.RUNNING, StepState.LOST}:
        return
    step.state = StepState.SUCCEEDED if error is None else StepState.FAILED
    step.error = error_to_json(error)
    step.ended_at = now()
