"""The store's face for who runs the hosts: they are seen, added, changed and removed here. Every call blocks."""

from collections.abc import Sequence

from sqlalchemy import Engine
from sqlmodel import Session

from domain.host_input import AskedHost
from domain.operations import OperationKind
from store import host_acceptance, host_views
from store.pages import page_of
from store.queries import find_host, node_network
from store.transactions import read, write
from store.views import HostAccepted, HostNodeView, HostReportView, HostView, Page


class HostAdmin:
    """The hosts of the instance. They belong to the operator: who is let in here is the caller's to say."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def hosts(self, *, limit: int, marker: str | None, name: str | None = None) -> Page[HostView]:
        """Return hosts, oldest first; with `name`, the one of that name in any case."""
        views = read(
            self._engine,
            lambda session: host_views.list_hosts(session, limit=limit + 1, marker=marker, name=name),
        )
        return page_of(views, limit, lambda view: view.id)

    def host(self, host_id: str) -> HostView:
        """Return a host; raise `NotFound`."""
        return read(self._engine, lambda session: _view(session, host_id))

    def report(self, host_id: str) -> HostReportView:
        """Return what was last measured of a host; raise `NotFound`."""
        return read(self._engine, lambda session: host_views.view_report(session, host_id))

    def nodes(self, host_id: str, *, limit: int, marker: str | None) -> Page[HostNodeView]:
        """Return the nodes on a host, of all owners, oldest first; raise `NotFound` for the host."""
        views: Sequence[HostNodeView] = read(
            self._engine, lambda session: host_views.list_nodes(session, host_id, limit=limit + 1, marker=marker)
        )
        return page_of(views, limit, lambda view: view.node.id)

    def node_network(self) -> str | None:
        """Return the network that all hosts' nodes take their addresses from, None until a host has claimed one."""
        return read(self._engine, node_network)

    def check_free(self, wanted: AskedHost) -> None:
        """Raise what `accept_add` would for what is taken by others: `NameTaken`, `Conflict`."""
        read(self._engine, lambda session: host_acceptance.check_free(session, wanted))

    def accept_add(self, wanted: AskedHost, *, root: str) -> HostAccepted:
        """Store a new host, and that it is to be prepared; `root` is where it keeps what the instance has there.

        What is wanted has been checked, and has a host key. Raises `NameTaken`, `Conflict`.
        """
        return write(self._engine, lambda session: host_acceptance.accept_add(session, wanted, root))

    def accept_task(
        self, host_id: str, kind: OperationKind, *, force: bool = False, host_key: str = ""
    ) -> HostAccepted:
        """Store that a host is to be prepared again, drained or removed.

        With `host_key`, a host that is prepared has that key from now on. One that is drained or removed takes no
        new nodes from the moment that this is accepted. With `force` a removal pushes aside what is about the host,
        and takes its nodes for lost. Raises `NotFound`, `HostBusy`, `HostInUse`, `Conflict`.
        """
        return write(
            self._engine,
            lambda session: host_acceptance.accept_task(session, host_id, kind, force=force, host_key=host_key),
        )

    def set_cordoned(self, host_id: str, *, cordoned: bool) -> HostView:
        """Let a host take new nodes, or not; raise `NotFound`, `Conflict` for one that is on its way out."""

        def work(session: Session) -> HostView:
            host_acceptance.set_cordoned(session, host_id, cordoned=cordoned)
            return _view(session, host_id)

        return write(self._engine, work)


def _view(session: Session, host_id: str) -> HostView:
    return host_views.view_hosts(session, [find_host(session, host_id)])[0]
