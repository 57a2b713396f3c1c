"""What can go wrong, and the exit code of each: the one place that both are written down.

The hierarchy::

    CliError                      1
     + OperationFailed            1  the change was accepted and then failed
     + UsageMistake               2  what was typed can't be right
     + Missing                    3  no such cluster, operation or file
     + NotOurs                    4  something of that name is there, and someone else's
     + Unreachable                5  nothing answers at the endpoint
     + TokenMissing               6
     + TimedOut                   7
     + Interrupted              130  Ctrl-C
     + ApiError                      as its HTTP status says, see `exit_code_of`
"""

from carina_cli.shapes import Problem

FAILED = 1
USAGE = 2
NOT_FOUND = 3
CONFLICT = 4
UNREACHABLE = 5
NOT_AUTHORISED = 6
TIMED_OUT = 7
INTERRUPTED = 130

SERVICE_UNAVAILABLE = 503
"""The HTTP status of a service that is there but can't serve now, for example while it starts."""


class CliError(Exception):
    """An error that the command foresees: a title, what happened here, and what the reader can do."""

    exit_code = FAILED

    def __init__(self, title: str, detail: str = "", remedy: str = "") -> None:
        super().__init__(title)
        self.title = title
        self.detail = detail
        self.remedy = remedy

    def lines(self) -> list[str]:
        """Return the error as a person reads it, a line each."""
        lines = [f"error: {self.title}"]
        lines += [f"  {line}" for line in self.detail.splitlines()]
        if self.remedy:
            lines.append(f"  What to do: {self.remedy}")
        return lines


class OperationFailed(CliError):  # noqa: N818 - the names read as what happened
    """An operation ended otherwise than well."""


class UsageMistake(CliError):  # noqa: N818
    """What was typed can't be right."""

    exit_code = USAGE


class Missing(CliError):  # noqa: N818
    """The thing named is not there."""

    exit_code = NOT_FOUND


class NotOurs(CliError):  # noqa: N818
    """Something of that name is there already, and someone else's, or someone is at it right now."""

    exit_code = CONFLICT


class Unreachable(CliError):  # noqa: N818
    """Nothing answers at the endpoint, or it stopped answering."""

    exit_code = UNREACHABLE


class TokenMissing(CliError):  # noqa: N818
    """No token could be read."""

    exit_code = NOT_AUTHORISED


class TimedOut(CliError):  # noqa: N818
    """The operation was still going on when the wait was over."""

    exit_code = TIMED_OUT


class Interrupted(CliError):  # noqa: N818
    """Ctrl-C ended the wait, not the operation."""

    exit_code = INTERRUPTED


class ApiError(CliError):
    """The service answered with an error of its catalogue."""

    def __init__(self, status: int, problem: Problem) -> None:
        self.status = status
        self.code = problem.get("code") or f"http-{status}"
        self.request_id = problem.get("request_id") or ""
        self.host_key = problem.get("host_key") or ""
        title = problem.get("title") or f"The service answered with HTTP status {status}"
        super().__init__(f"{title} ({self.code})", problem.get("detail") or "", problem.get("remedy") or "")
        self.exit_code = exit_code_of(status, self.code)

    def lines(self) -> list[str]:
        """Return the error as a person reads it, with the request's id as the service's log has it."""
        request = [f"  Request: {self.request_id}"] if self.request_id else []
        return super().lines() + request


def exit_code_of(status: int, code: str) -> int:
    """Return the exit code for an API error's HTTP status and catalogue code.

    What is there but not ready yet (404 `not-ready`) counts as busy, since waiting helps.
    """
    if code == "not-ready":
        return CONFLICT
    by_status = {
        400: USAGE,
        422: USAGE,
        401: NOT_AUTHORISED,
        403: NOT_AUTHORISED,
        404: NOT_FOUND,
        409: CONFLICT,
    }
    return by_status.get(status, FAILED)
