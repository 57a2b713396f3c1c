"""Following an operation until it has ended."""

import time
from typing import TYPE_CHECKING

from carina_cli.errors import SERVICE_UNAVAILABLE, ApiError, Interrupted, OperationFailed, TimedOut, Unreachable
from carina_cli.progress import Progress, running_steps, show, step_line
from carina_cli.shapes import Operation, Step

if TYPE_CHECKING:
    from carina_cli.client import Client

LONG_LOOK_S = 5.0
"""How long the service may keep a look waiting for news: well below the time after which an answer is given up."""

SHORTEST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 0.5
PAUSE_SHARE = 0.02
"""Where the service does not wait for news, the pause between two looks is this share of the time waited so far."""

PATIENCE_S = 60.0
"""How long a service that stops answering may take to come back: a restart, not the end."""


def follow(client: "Client", operation_id: str, *, heading: str, timeout_s: float) -> Operation:
    """Show the operation's steps until it has ended, and return it.

    Raises `OperationFailed` if it ended otherwise than well, `TimedOut` after `timeout_s`, `Unreachable` if the
    service stays away, `Interrupted` on Ctrl-C; the operation itself goes on in these three cases.
    """
    try:
        with show(heading) as progress:
            operation = _until_ended(client, operation_id, progress, timeout_s)
    except KeyboardInterrupt as error:
        raise Interrupted(
            "You stopped waiting; the operation goes on.", f"Operation {operation_id}", look_at(operation_id)
        ) from error
    if operation["state"] != "succeeded":
        raise failure_of(operation)
    return operation


def look_at(operation_id: str) -> str:
    """Return what to type to look at an operation, and to follow it."""
    return f"'carina operation {operation_id}' shows it; with --wait, until it has ended."


def failure_of(operation: Operation) -> OperationFailed:
    """Return the error of an operation that ended otherwise than well, with the step that failed last."""
    error = operation["error"] or {}
    state = operation["state"]
    title = error.get("title") or f"The operation is {state}."
    code = f" ({error['code']})" if error.get("code") else ""
    failed = [step for step in operation.get("steps", ()) if step["state"] == "failed"]
    about = [error.get("detail", ""), *(f"Failed step: {_named(step)}" for step in failed[-1:])]
    about.append(f"Operation: {operation['id']} ({operation['kind']}, {state})")
    return OperationFailed(title + code, "\n".join(line for line in about if line), error.get("remedy", ""))


def _until_ended(client: "Client", operation_id: str, progress: Progress, timeout_s: float) -> Operation:
    """Look at the operation again and again; each look lasts until there is news, where the service can wait."""
    began = time.monotonic()
    silent_since: float | None = None
    operation: Operation | None = None
    while True:
        looked = time.monotonic()
        revision = operation.get("revision") if operation else None
        look_s = min(LONG_LOOK_S, max(0.0, began + timeout_s - looked))
        news = False
        try:
            operation = client.operation(operation_id, revision=revision, wait_s=look_s)
        except (Unreachable, ApiError) as error:
            if isinstance(error, ApiError) and error.status != SERVICE_UNAVAILABLE:
                raise
            if silent_since is None:
                silent_since = time.monotonic()
                progress.note("  The service does not answer; waiting for it to come back.")
            elif time.monotonic() - silent_since > PATIENCE_S:
                raise
        else:
            silent_since = None
            news = operation.get("revision") != revision
            progress.update(operation)
            if operation["ended_at"] is not None:
                return operation
        waited_s = time.monotonic() - began
        if waited_s >= timeout_s:
            raise _timed_out(operation_id, operation, timeout_s)
        if not news:
            pause_s = min(max(SHORTEST_PAUSE_S, waited_s * PAUSE_SHARE), LONGEST_PAUSE_S)
            time.sleep(max(0.0, min(looked + pause_s - time.monotonic(), timeout_s - waited_s)))


def _timed_out(operation_id: str, operation: Operation | None, timeout_s: float) -> TimedOut:
    """Return the error of a wait that was too long, with the steps that were going on."""
    going_on = [step_line(step).strip() for step in running_steps(operation)] if operation else []
    detail = "\n".join([f"Operation {operation_id} goes on. Its steps at this moment:", *going_on])
    return TimedOut(
        f"The operation has not ended after {timeout_s:g} s.",
        detail if going_on else f"Operation {operation_id} goes on.",
        look_at(operation_id),
    )


def _named(step: Step) -> str:
    """Return a step's title, name, place and attempt."""
    where = f" on {step['node'] or step['host']}" if step["node"] or step["host"] else ""
    return f"{step['title']} ({step['name']}){where}, attempt {step['attempt']}"
