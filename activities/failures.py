"""Errors on their way through Temporal: catalogue in, catalogue out, with bounded lengths."""

from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    FailureError,
    TimeoutError,  # noqa: A004 - Temporal's own
    is_cancelled_exception,
)

from domain.errors import MAX_DETAIL_CHARS, CarinaError, ErrorRecord, OperationCancelled, StepFailed


def to_application_error(error: Exception, *, final: bool = False) -> ApplicationError:
    """Return the failure that Temporal keeps for `error`: its code as the type, its record as the details.

    What nobody foresaw is a failed step, worth another try. With `final`, so much was tried that nothing is.
    """
    record = record_of(error)
    final = final or (isinstance(error, CarinaError) and not error.retryable)
    return ApplicationError(f"{record.title}: {record.detail}", record, type=record.code, non_retryable=final)


def record_of(error: BaseException) -> ErrorRecord:
    """Return the catalogue's record of whatever ended a step or a workflow."""
    if isinstance(error, CarinaError):
        return error.record()
    if is_cancelled_exception(error):
        return OperationCancelled("It was cancelled before it was done.").record()
    where = f" in {error.activity_type}" if isinstance(error, ActivityError) else ""
    cause = error
    while isinstance(cause, (ActivityError, ChildWorkflowError)) and cause.cause is not None:
        cause = cause.cause
        if isinstance(cause, ActivityError):
            where = f" in {cause.activity_type}"
    if isinstance(cause, ApplicationError) and cause.type and cause.details:
        kept = cause.details[0]
        if isinstance(kept, ErrorRecord):
            return kept
        if isinstance(kept, dict) and {"code", "title", "detail"} <= kept.keys():
            return ErrorRecord(**{name: str(kept.get(name, "")) for name in ("code", "title", "detail", "remedy")})
    if isinstance(cause, TimeoutError):
        kept_cause = record_of(cause.cause) if isinstance(cause.cause, FailureError) else None
        return kept_cause or StepFailed(f"It took too long{where}.").record()
    return StepFailed(f"{type(cause).__name__}{where}: {cause}"[:MAX_DETAIL_CHARS]).record()
