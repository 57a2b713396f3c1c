"""The service's HTTP API as Python calls: one kept-alive connection, errors as `CliError`s."""

import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar, cast
from urllib.parse import quote

from carina_cli import __version__
from carina_cli.config import read_token
from carina_cli.errors import SERVICE_UNAVAILABLE, ApiError, CliError, Missing, TokenMissing, Unreachable
from carina_cli.quick_httpx import httpx
from carina_cli.shapes import Cluster, ClusterType, Node, Operation, Overlay, Readiness, is_id

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 10.0
TRIES = 3
"""How often a request that may safely be repeated is sent when the connection breaks before its answer."""

Body = TypeVar("Body")


class Accepted(NamedTuple, Generic[Body]):
    """A change that the service took on: the thing as it now is, and the operation (None: nothing to do)."""

    body: Body
    operation_id: str | None


class Client:
    """A connection to the service at `endpoint`. The token is read when the first call needs it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        # Reading the system's certificates takes 50 ms, for nothing when the endpoint is plain HTTP.
        # Proxies of the environment are for the wide world: one on this machine is asked directly.
        host = httpx.URL(endpoint).host
        self._http = httpx.Client(
            base_url=endpoint,
            verify=endpoint.startswith("https:"),
            trust_env=host not in {"127.0.0.1", "::1", "localhost"},
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            headers={
                "API-Version": "rax:container 1.0",
                "Accept": "application/json",
                "User-Agent": f"carina-cli/{__version__}",
            },
        )
        self._token: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def clusters(self, name: str | None = None) -> list[Cluster]:
        """Return all clusters, or those of that name."""
        return self._list("/clusters", "clusters", {} if name is None else {"name": name})

    def cluster(self, cluster_id: str) -> Cluster:
        """Return the cluster with that id."""
        return cast("Cluster", self._document(self._send("GET", f"/clusters/{_part(cluster_id)}")))

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
        return self._list("/cluster_types", "cluster_types", {})

    def create(
        self, *, name: str, type_id: int, node_count: int, retain: bool, idempotency_key: str | None
    ) -> Accepted[Cluster]:
        """Ask for a cluster. A connection that breaks is mended: the key makes the request safe to repeat."""
        response = self._send(
            "POST",
            "/clusters",
            params={"retain": "true"} if retain else {},
            body={"name": name, "cluster_type_id": type_id, "node_count": node_count},
            headers={"Idempotency-Key": idempotency_key or str(uuid.uuid4())},
            tries=TRIES,
        )
        return Accepted(cast("Cluster", self._document(response)), _operation_of(response))

    def resize(self, cluster_id: str, node_count: int) -> Accepted[Cluster]:
        """Ask for another number of nodes. Nothing is to be done if the cluster has so many."""
        task = {"type": "resize", "input": {"node_count": node_count}}
        response = self._send("POST", f"/clusters/{_part(cluster_id)}/tasks", body=task)
        return Accepted(cast("Cluster", self._document(response)), _operation_of(response))

    def delete(self, cluster_id: str, *, force: bool) -> Accepted[Cluster]:
        """Ask for a cluster to be deleted; `force` cancels a change that is running."""
        params = {"force": "true"} if force else {}
        response = self._send("DELETE", f"/clusters/{_part(cluster_id)}", params=params)
        return Accepted(cast("Cluster", self._document(response)), _operation_of(response))

    def nodes(self, cluster_id: str) -> list[Node]:
        """Return the cluster's nodes."""
        return self._list(f"/clusters/{_part(cluster_id)}/nodes", "nodes", {})

    def overlays(self, cluster_id: str) -> list[Overlay]:
        """Return the cluster's overlay networks."""
        return self._list(f"/clusters/{_part(cluster_id)}/overlays", "overlays", {})

    def add_overlay(
        self, cluster_id: str, *, name: str, subnet: str | None, attachable: bool, encrypted: bool
    ) -> Accepted[Overlay]:
        """Ask for an overlay network. Without a subnet the service chooses one."""
        body: dict[str, object] = {"name": name, "attachable": attachable, "encrypted": encrypted}
        if subnet is not None:
            body["subnet"] = subnet
        response = self._send("POST", f"/clusters/{_part(cluster_id)}/overlays", body=body)
        return Accepted(cast("Overlay", self._document(response)), _operation_of(response))

    def remove_overlay(self, cluster_id: str, name: str) -> Accepted[Overlay]:
        """Ask for an overlay network to be removed."""
        response = self._send("DELETE", f"/clusters/{_part(cluster_id)}/overlays/{_part(name)}")
        return Accepted(cast("Overlay", self._document(response)), _operation_of(response))

    def operations(self, cluster_id: str) -> list[Operation]:
        """Return the cluster's operations, oldest first, without their steps. Works for deleted clusters too."""
        return self._list(f"/clusters/{_part(cluster_id)}/operations", "operations", {})

    def operation(self, operation_id: str, *, revision: str | None = None, wait_s: float = 0.0) -> Operation:
        """Return the operation with its steps; with a `revision`, once it has another or after `wait_s`."""
        params = {} if revision is None else {"revision": revision, "wait_s": f"{wait_s:.3f}"}
        response = self._send("GET", f"/operations/{_part(operation_id)}", params=params)
        return cast("Operation", self._document(response))

    def credentials(self, cluster_id: str) -> bytes:
        """Return the cluster's credentials as a zip archive."""
        return self._send("GET", f"/clusters/{_part(cluster_id)}/credentials/zip").content

    def readiness(self) -> Readiness:
        """Return the service's own account of itself, ready or not. Needs no token."""
        response = self._request("GET", "/readyz", headers={}, params={}, body=None, tries=1)
        if response.status_code not in {httpx.codes.OK, SERVICE_UNAVAILABLE}:
            raise _error_of(response)
        document = self._document(response)
        if not isinstance(document.get("checks"), dict):
            raise _error_of(response)
        return cast("Readiness", document)

    def _list(self, path: str, field: str, params: Mapping[str, str]) -> list[Any]:
        """Return all items of a list, page after page."""
        response = self._send("GET", path, params=params)
        items: list[Any] = []
        while True:
            document = self._document(response)
            if not isinstance(document.get(field), list):
                raise _error_of(response)
            items += document[field]
            following = next((link["href"] for link in document.get("links", ()) if link.get("rel") == "next"), None)
            # A path only: the token must not follow a link to another place.
            if following is None or not following.startswith("/") or following.startswith("//"):
                return items
            response = self._send("GET", following)

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        tries: int = 1,
    ) -> httpx.Response:
        """Send a request with the token; raise `ApiError` if the answer is an error, `Unreachable` without one."""
        if self._token is None:
            self._token = self._read_token()
        all_headers = {"X-Auth-Token": self._token, **(headers or {})}
        response = self._request(method, path, headers=all_headers, params=params or {}, body=body, tries=tries)
        if not response.is_success:
            raise _error_of(response)
        return response

    def _read_token(self) -> str:
        """Return the token. That no service is there is greater news than that there is no token for it."""
        try:
            return read_token()
        except TokenMissing:
            self._request("GET", "/healthz", headers={}, params={}, body=None, tries=1)
            raise

    def _request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        params: Mapping[str, str],
        body: object,
        tries: int,
    ) -> httpx.Response:
        """Send a request and return whatever answer comes; raise `Unreachable` if none does."""
        while True:
            tries -= 1
            try:
                # params=None keeps the query that the path has; an empty mapping would take it off.
                return self._http.request(method, path, headers=headers, params=params or None, json=body)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                raise Unreachable(
                    f"No service answers at {self.endpoint}.",
                    str(error),
                    "Start it with 'carinad up', or name another with --endpoint or CARINA_ENDPOINT.",
                ) from error
            except httpx.TransportError as error:
                if tries < 1:
                    raise Unreachable(
                        f"The service at {self.endpoint} did not answer {method} {path.partition('?')[0]}.",
                        str(error) or type(error).__name__,
                        "'carina status' says whether it is well; what it had accepted goes on after a restart.",
                    ) from error

    def _document(self, response: httpx.Response) -> dict[str, Any]:
        """Return the answer's JSON object."""
        try:
            document = response.json()
        except ValueError as error:
            raise _error_of(response) from error
        if not isinstance(document, dict):
            raise _error_of(response)
        return document


def _part(text: str) -> str:
    """Return `text` as one part of a path."""
    return quote(text, safe="")


def _operation_of(response: httpx.Response) -> str | None:
    """Return the id of the operation that the Location header names."""
    location = response.headers.get("Location")
    return str(location).rstrip("/").rpartition("/")[2] if location else None


def _error_of(response: httpx.Response) -> CliError:
    """Return the error that an answer carries; an answer that isn't the API's own is an error too."""
    try:
        problem = response.json()["errors"][0]
        problem.setdefault("request_id", response.headers.get("X-Request-Id", ""))
        return ApiError(response.status_code, problem)
    except (ValueError, LookupError, TypeError, AttributeError):
        return CliError(
            "The answer is not one of a Carina service.",
            f"HTTP status {response.status_code} from {response.url}",
            "Check --endpoint or CARINA_ENDPOINT, and what stands between here and there.",
        )
