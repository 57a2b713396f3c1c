"""What the API needs of the outside world, beside the store. `worker.wiring` joins the parts."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Protocol

from store.views import OperationView


class AlreadyRunning(Exception):  # noqa: N818 - reads as what happened
    """Another operation's workflow still runs under the same workflow id."""


class RunState(StrEnum):
    """What Temporal says of an operation's workflow."""

    RUNNING = "running"
    CLOSED = "closed"
    MISSING = "missing"  # never started, or its history is gone


class Starter(Protocol):
    """Starts and watches operations' workflows. Every call raises `Unavailable` if Temporal can't be reached."""

    async def start(self, operation: OperationView) -> None:
        """Start the operation's workflow. One that runs for this very operation is no error.

        Raises `AlreadyRunning` while the workflow of another operation holds the id.
        """
        ...

    async def cancel(self, operation: OperationView) -> None:
        """Ask the operation's workflow to cancel. One that is closed or missing is no error."""
        ...

    async def wait_closed(self, operation: OperationView) -> None:
        """Return once the operation's workflow is closed or missing."""
        ...

    async def describe(self, operation: OperationView) -> RunState:
        """Say how the operation's workflow stands."""
        ...


class Unsealer(Protocol):
    """The part of the vault that the API uses."""

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """Return the secret; raise `CarinaError` if it was sealed under another key or context, or altered."""
        ...


class Tokens(Protocol):
    """Says whose a token is."""

    def owner(self, token: str) -> str | None:
        """Return the tenant that the token speaks for, None if it is not valid."""
        ...


Probe = Callable[[], Awaitable[None]]
"""Checks that a part of the service answers; raises if it does not. What a `CarinaError` says is shown to anyone."""
