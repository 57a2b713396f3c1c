"""Errors on their way through Temporal and back: the same record, bounded, and nothing else."""

import asyncio
from dataclasses import asdict

import pytest
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DataConverter
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, RetryState, TimeoutType
from temporalio.exceptions import TimeoutError as TemporalTimeout

from activities.failures import record_of, to_application_error
from domain import errors
from domain.errors import MAX_DETAIL_CHARS, CarinaError, DiskFull, ErrorRecord, StepFailed

CATALOGUE = sorted(
    (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CarinaError)),
    key=lambda kind: kind.code,
)


def in_activity(cause: BaseException | None) -> ActivityError:
    error = ActivityError(
        "Activity task failed",
        scheduled_event_id=1,
        started_event_id=2,
        identity="",
        activity_type="ensure_node",
        activity_id="1",
        retry_state=RetryState.NON_RETRYABLE_FAILURE,
    )
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("kind", CATALOGUE, ids=lambda kind: kind.code)
def test_each_error_keeps_its_code_and_whether_to_try_again(kind: type[CarinaError]) -> None:
    error = kind("what happened", remedy="do this")
    kept = to_application_error(error)
    assert kept.type == kind.code
    assert kept.non_retryable is not kind.retryable
    assert record_of(in_activity(kept)) == error.record()


async def test_a_record_comes_back_whole_from_a_history() -> None:
    converter = DataConverter.default
    failure = Failure()
    await converter.encode_failure(in_activity(to_application_error(DiskFull("pool is full"))), failure)
    assert record_of(await converter.decode_failure(failure)) == DiskFull("pool is full").record()


def test_a_record_without_a_remedy_is_read_too() -> None:
    kept = {"code": "disk-full", "title": "Full", "detail": "The pool is full."}
    error = ApplicationError("x", kept, type="disk-full")
    assert record_of(in_activity(error)) == ErrorRecord("disk-full", "Full", "The pool is full.")
    assert set(asdict(record_of(error))) == {"code", "title", "detail", "remedy"}


@pytest.mark.parametrize("cancelled", [asyncio.CancelledError(), CancelledError("x"), in_activity(CancelledError("x"))])
def test_a_cancel_is_no_failure_of_a_step(cancelled: BaseException) -> None:
    assert record_of(cancelled).code == "operation-cancelled"


def test_a_timeout_names_the_step_or_what_failed_last() -> None:
    late = TemporalTimeout("late", type=TimeoutType.START_TO_CLOSE, last_heartbeat_details=[])
    assert record_of(in_activity(late)).detail == "It took too long in ensure_node."
    late.__cause__ = to_application_error(DiskFull("pool is full"))
    assert record_of(in_activity(late)) == DiskFull("pool is full").record()


def test_an_unforeseen_error_is_a_failed_step_of_a_bounded_length_worth_another_try() -> None:
    kept = to_application_error(ValueError("x" * 100_000))
    assert (kept.type, kept.non_retryable) == (StepFailed.code, False)
    assert len(str(kept)) < MAX_DETAIL_CHARS + 200
    record = record_of(in_activity(kept))
    assert record.detail.startswith("ValueError: xxx")
    assert len(record.detail) <= MAX_DETAIL_CHARS
