"""What the API needs of the outside world, beside the store. `worker.wiring` joins the parts."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from domain.hosts import Host, HostReport
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


class Issued(Protocol):
    """Credentials that were made for one person."""

    @property
    def files(self) -> Mapping[str, bytes]:
        """The files of the archive, by name."""
        ...

    @property
    def expires_at(self) -> datetime | None:
        """When the certificate among them ends; None is with the cluster."""
        ...


class Credentials(Protocol):
    """Makes what people reach clusters' native APIs with."""

    def issue(self, cluster_id: str, *, person: str, lifetime: timedelta | None) -> Issued:
        """Make credentials for `person`, for as long as is usual without `lifetime`; raise `NotFound`, `NotReady`."""
        ...


class Releases(Protocol):
    """Says which orchestrators clusters can be made of now."""

    def has(self, coe: str, version: str) -> bool:
        """Return whether the orchestrator can be had in that version."""
        ...


class HostProbes(Protocol):
    """Looks at machines that are, or may become, hosts. Changes nothing on them."""

    async def presented_key(self, address: str, port: int) -> tuple[str, str]:
        """Return the key that the machine presents, as its type and base64, and the key's fingerprint (SHA256:...).

        Raises `HostUnreachable`.
        """
        ...

    async def preview(self, host: Host) -> tuple[HostReport, Sequence[str]]:
        """Connect, measure, and say what preparing the host would change, a sentence each; none is nothing.

        Raises `HostUnreachable`, `HostKeyChanged`, `HostAccessDenied`, `CommandFailed`.
        """
        ...


class Tokens(Protocol):
    """Says whose a token is."""

    def owner(self, token: str) -> str | None:
        """Return the tenant that the token speaks for, None if it is not valid."""
        ...


Probe = Callable[[], Awaitable[None]]
"""Checks that a part of the service answers; raises if it does not. What a `CarinaError` says is shown to anyone."""
