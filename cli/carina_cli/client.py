"""The service's HTTP API as Python calls."""

import uuid
from collections.abc import Iterable
from types import TracebackType
from typing import NamedTuple, Self, cast

from carina_cli.accepted import Accepted
from carina_cli.connection import Connection, document_of, error_of, operation_of, part
from carina_cli.errors import SERVICE_UNAVAILABLE, ApiError, Missing
from carina_cli.host_calls import Hosts
from carina_cli.host_shapes import Publication
from carina_cli.shapes import (
    Cluster,
    ClusterType,
    Image,
    NewOverlay,
    Node,
    Operation,
    Options,
    Overlay,
    Readiness,
    is_id,
)

OK = 200
TRIES = 3
"""How often a request that may safely be repeated is sent when the connection breaks before its answer."""

ARCHIVE_PATIENCE_S = 120.0
"""How long the service may take with a part of an image's archive, and to read through the whole after its end."""

EXPIRY_HEADER = "Carina-Credentials-Expire"
"""The header that says when fetched credentials end, as an RFC 3339 time. Not sent for those that stay good."""


class Credentials(NamedTuple):
    """A zip archive of credentials, and when they end, as an RFC 3339 time (None: not by themselves)."""

    archive: bytes
    expire: str | None


class Client:
    """The calls to the service at `endpoint`."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._connection = Connection(endpoint)
        self.hosts = Hosts(self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.__exit__(kind, error, trace)

    def clusters(self, name: str | None = None) -> list[Cluster]:
        """Return all clusters, or those of that name."""
        return self._connection.items("/clusters", "clusters", {} if name is None else {"name": name})

    def cluster(self, cluster_id: str) -> Cluster:
        """Return the cluster with that id."""
        return cast("Cluster", document_of(self._connection.send("GET", f"/clusters/{part(cluster_id)}")))

    def find(self, name_or_id: str) -> Cluster:
        """Return the cluster of that id or, without regard to case, of that name. Raises `Missing`."""
        if is_id(name_or_id):
            try:
                return self.cluster(name_or_id.lower())
            except ApiError as error:
                if error.code != "not-found":
                    raise  # else: a cluster may be named like an id
        wanted = name_or_id.lower()
        for cluster in self.clusters(name_or_id) if name_or_id else ():
            if cluster["name"].lower() == wanted:
                return cluster
        raise Missing(f"There is no cluster {name_or_id!r}.", remedy="'carina ls' lists those that there are.")

    def cluster_types(self) -> list[ClusterType]:
        """Return what clusters can be made of."""
        return self._connection.items("/cluster_types", "cluster_types", {})

    def create(
        self,
        *,
        name: str,
        type_id: int,
        node_count: int,
        options: Options,
        retain: bool,
        idempotency_key: str | None,
    ) -> Accepted[Cluster]:
        """Ask for a cluster. A connection that breaks is mended: the key makes the request safe to repeat."""
        body: dict[str, object] = {"name": name, "cluster_type_id": type_id, "node_count": node_count}
        if options:
            body["options"] = options
        response = self._connection.send(
            "POST",
            "/clusters",
            params={"retain": "true"} if retain else {},
            body=body,
            headers={"Idempotency-Key": idempotency_key or str(uuid.uuid4())},
            tries=TRIES,
        )
        return Accepted(cast("Cluster", document_of(response)), operation_of(response))

    def resize(self, cluster_id: str, node_count: int) -> Accepted[Cluster]:
        """Ask for another number of nodes. Nothing is to be done if the cluster has so many."""
        task = {"type": "resize", "input": {"node_count": node_count}}
        response = self._connection.send("POST", f"/clusters/{part(cluster_id)}/tasks", body=task)
        return Accepted(cast("Cluster", document_of(response)), operation_of(response))

    def delete(self, cluster_id: str, *, force: bool) -> Accepted[Cluster]:
        """Ask for a cluster to be deleted; `force` cancels a change that is running."""
        params = {"force": "true"} if force else {}
        response = self._connection.send("DELETE", f"/clusters/{part(cluster_id)}", params=params)
        return Accepted(cast("Cluster", document_of(response)), operation_of(response))

    def nodes(self, cluster_id: str) -> list[Node]:
        """Return the cluster's nodes."""
        return self._connection.items(f"/clusters/{part(cluster_id)}/nodes", "nodes", {})

    def overlays(self, cluster_id: str) -> list[Overlay]:
        """Return the cluster's overlay networks."""
        return self._connection.items(f"/clusters/{part(cluster_id)}/overlays", "overlays", {})

    def add_overlay(self, cluster_id: str, wanted: NewOverlay) -> Accepted[Overlay]:
        """Ask for an overlay network. What is not said of it the service chooses."""
        response = self._connection.send("POST", f"/clusters/{part(cluster_id)}/overlays", body=wanted)
        return Accepted(cast("Overlay", document_of(response)), operation_of(response))

    def remove_overlay(self, cluster_id: str, name: str) -> Accepted[Overlay]:
        """Ask for an overlay network to be removed."""
        response = self._connection.send("DELETE", f"/clusters/{part(cluster_id)}/overlays/{part(name)}")
        return Accepted(cast("Overlay", document_of(response)), operation_of(response))

    def images(self, cluster_id: str) -> list[Image]:
        """Return the images that were loaded into the cluster."""
        return self._connection.items(f"/clusters/{part(cluster_id)}/images", "images", {})

    def load_image(self, cluster_id: str, archive: Iterable[bytes]) -> Accepted[Image]:
        """Send an image's archive, part by part, for all nodes of the cluster."""
        response = self._connection.upload(
            f"/clusters/{part(cluster_id)}/images", archive, kind="application/x-tar", patience_s=ARCHIVE_PATIENCE_S
        )
        return Accepted(cast("Image", document_of(response)), operation_of(response))

    def remove_image(self, cluster_id: str, digest: str) -> Image:
        """Have the service forget its copy of an image."""
        response = self._connection.send("DELETE", f"/clusters/{part(cluster_id)}/images/{part(digest)}")
        return cast("Image", document_of(response))

    def publications(self, cluster_id: str) -> list[Publication]:
        """Return the ports of the cluster's hosts that lead to it."""
        return self._connection.items(f"/clusters/{part(cluster_id)}/publications", "publications", {})

    def publish(self, cluster_id: str, *, host_port: int, node_port: int, protocol: str) -> Accepted[Publication]:
        """Ask for a port of the cluster's hosts to lead to one of its nodes."""
        body = {"host_port": host_port, "node_port": node_port, "protocol": protocol}
        response = self._connection.send("POST", f"/clusters/{part(cluster_id)}/publications", body=body)
        return Accepted(cast("Publication", document_of(response)), operation_of(response))

    def unpublish(self, cluster_id: str, *, host_port: int, protocol: str) -> Accepted[Publication]:
        """Ask for a port to lead to the cluster no more."""
        path = f"/clusters/{part(cluster_id)}/publications/{host_port}/{part(protocol)}"
        response = self._connection.send("DELETE", path)
        return Accepted(cast("Publication", document_of(response)), operation_of(response))

    def operations(self, cluster_id: str) -> list[Operation]:
        """Return the cluster's operations, oldest first, without their steps. Works for deleted clusters too."""
        return self._connection.items(f"/clusters/{part(cluster_id)}/operations", "operations", {})

    def operation(self, operation_id: str, *, revision: str | None = None, wait_s: float = 0.0) -> Operation:
        """Return the operation with its steps; with a `revision`, once it has another or after `wait_s`."""
        params = {} if revision is None else {"revision": revision, "wait_s": f"{wait_s:.3f}"}
        response = self._connection.send("GET", f"/operations/{part(operation_id)}", params=params)
        return cast("Operation", document_of(response))

    def credentials(self, cluster_id: str, *, lifetime_s: int | None = None) -> Credentials:
        """Return credentials of the cluster. Those of Kubernetes end, after `lifetime_s` if it is given."""
        params = {} if lifetime_s is None else {"lifetime_s": str(lifetime_s)}
        response = self._connection.send("GET", f"/clusters/{part(cluster_id)}/credentials/zip", params=params)
        return Credentials(response.content, response.headers.get(EXPIRY_HEADER))

    def readiness(self) -> Readiness:
        """Return the service's own account of itself, ready or not. Needs no token."""
        response = self._connection.request("GET", "/readyz")
        if response.status_code not in {OK, SERVICE_UNAVAILABLE}:
            raise error_of(response)
        document = document_of(response)
        if not isinstance(document.get("checks"), dict):
            raise error_of(response)
        return cast("Readiness", document)
