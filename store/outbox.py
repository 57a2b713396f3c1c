"""The store's face for the reconciler: accepted operations of every owner, whose workflows have to be looked after."""

from collections.abc import Sequence

from sqlalchemy import Engine

from domain.errors import ErrorRecord
from store.views import OperationView


class Outbox:
    """Operations of the whole system. Every call blocks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def pending(self, older_than_s: float) -> Sequence[OperationView]:
        """Return operations accepted at least so many seconds ago whose workflow has not begun, oldest first."""
        raise NotImplementedError

    def running(self) -> Sequence[OperationView]:
        """Return operations that are running or cancelling, oldest first."""
        raise NotImplementedError

    def mark_lost(self, operation_id: str, error: ErrorRecord) -> None:
        """Close an operation whose workflow ended without a word, as failed; one that has ended stays as it is."""
        raise NotImplementedError

    def accept_prepare_host(self, host_id: str) -> OperationView:
        """Store that a host is to be prepared, or return the operation that is about it already; raise `NotFound`."""
        raise NotImplementedError
