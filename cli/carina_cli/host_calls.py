"""The service's calls about hosts, as Python calls. For administrators."""

from typing import cast

from carina_cli.accepted import Accepted
from carina_cli.connection import Connection, document_of, operation_of, part
from carina_cli.errors import ApiError, Missing
from carina_cli.host_shapes import Host, HostNode, NewHost, Preview, Report
from carina_cli.shapes import is_id

PREVIEW_PATIENCE_S = 130.0
"""How long measuring a machine over SSH may take; the service gives up before that."""


class Hosts:
    """The calls over a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self, name: str | None = None) -> list[Host]:
        """Return all hosts, or the one of that name."""
        return self._connection.items("/hosts", "hosts", {} if name is None else {"name": name})

    def get(self, host_id: str) -> Host:
        """Return the host with that id."""
        return cast("Host", document_of(self._connection.send("GET", f"/hosts/{part(host_id)}")))

    def find(self, name_or_id: str) -> Host:
        """Return the host of that id or, without regard to case, of that name. Raises `Missing`."""
        if is_id(name_or_id):
            try:
                return self.get(name_or_id.lower())
            except ApiError as error:
                if error.code != "not-found":
                    raise  # else: a host may be named like an id
        wanted = name_or_id.lower()
        for host in self.all(name_or_id) if name_or_id else ():
            if host["name"].lower() == wanted:
                return host
        raise Missing(f"There is no host {name_or_id!r}.", remedy="'carina host ls' lists those that there are.")

    def report(self, host_id: str) -> Report:
        """Return what was last measured of the host."""
        return cast("Report", document_of(self._connection.send("GET", f"/hosts/{part(host_id)}/report")))

    def nodes(self, host_id: str) -> list[HostNode]:
        """Return the nodes on the host, of all clusters."""
        return self._connection.items(f"/hosts/{part(host_id)}/nodes", "nodes", {})

    def preview(self, wanted: NewHost) -> Preview:
        """Have a machine measured, and say what adding it would change. Nothing is."""
        response = self._connection.send("POST", "/hosts/preview", body=wanted, patience_s=PREVIEW_PATIENCE_S)
        return cast("Preview", document_of(response))

    def add(self, wanted: NewHost) -> Accepted[Host]:
        """Ask for a machine to become a host."""
        response = self._connection.send("POST", "/hosts", body=wanted)
        return Accepted(cast("Host", document_of(response)), operation_of(response))

    def change(self, host_id: str, task: str, *, force: bool = False, host_key: str | None = None) -> Accepted[Host]:
        """Ask for a task on the host: cordon, uncordon, drain, prepare (with a new host key, if given) or remove."""
        body: dict[str, object] = {"type": task}
        if force:
            body["input"] = {"force": True}
        if host_key is not None:
            body["input"] = {"host_key": host_key}
        response = self._connection.send("POST", f"/hosts/{part(host_id)}/tasks", body=body)
        return Accepted(cast("Host", document_of(response)), operation_of(response))
