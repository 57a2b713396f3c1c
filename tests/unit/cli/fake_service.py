"""A Carina service that only speaks: the API's shapes over real HTTP, from a script, for the command's tests."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from fake_answers import (
    KUBERNETES,
    KUBERNETES_ID,
    OPERATION_ID,
    SWARM,
    archive,
    cluster,
    image,
    kubernetes_archive,
    kubernetes_cluster,
    node,
    operation,
    overlay,
    problem,
)
from fake_hosts import FakeHosts

TOKEN = "a-token-of-the-tests"


class FakeService:
    """Serves what its attributes say. `operations` answers are given one after the other, the last for ever.

    `requests` has every request as (method, path with query, headers, body). `failures` has errors to answer with,
    by method and path: (status, error document). `drops` counts down connections to close without an answer.
    `archives` has the archive of each cluster that has one of its own, `expire` what the answers with one say of its
    end. `uploads` has each body that was no JSON, with the number of parts that it came in.
    """

    def __init__(self) -> None:
        self.clusters = [cluster()]
        self.nodes = [node(), node("demo-2", "worker")]
        self.overlays = [overlay()]
        self.operation_answers = [operation()]
        self.accepts_operation = True
        self.archive = archive()
        self.archives = {KUBERNETES_ID: kubernetes_archive()}
        self.expire: str | None = None
        self.images = [image("web:1")]
        self.cluster_types: list[dict[str, Any]] = [SWARM]
        self.uploads: list[tuple[bytes, int]] = []
        self.hosts = FakeHosts()
        self.checks = {"database": "ok", "temporal": "ok", "host": "ok"}
        self.page = 1000
        self.failures: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
        self.drops: dict[tuple[str, str], int] = {}
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.connections = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def sent(self, method: str, path: str) -> list[tuple[str, str, dict[str, str], Any]]:
        return [request for request in self.requests if request[0] == method and urlsplit(request[1]).path == path]

    def answer(  # noqa: C901, PLR0911, PLR0912 - the table of routes
        self, method: str, path: str, query: dict[str, str], body: Any
    ) -> tuple[int, Any, dict[str, str]]:
        """Return status, document and headers; raises KeyError for what is not there."""
        taken = {"Location": f"/operations/{OPERATION_ID}"} if self.accepts_operation else {}
        match method, path.strip("/").split("/"):
            case "GET", ["readyz"]:
                well = all(state == "ok" for state in self.checks.values())
                return (200 if well else 503), {"status": "ready" if well else "unready", "checks": self.checks}, {}
            case "GET", ["healthz"]:
                return 200, {"status": "ok"}, {}
            case "GET", ["cluster_types"]:
                return 200, {"cluster_types": self.cluster_types}, {}
            case "GET", ["clusters"]:
                found = [c for c in self.clusters if query.get("name", c["name"]).lower() == c["name"].lower()]
                return 200, self._paged("clusters", found, query), {}
            case "POST", ["clusters"]:
                make = kubernetes_cluster if body["cluster_type_id"] == KUBERNETES["id"] else cluster
                made = make(body["name"], status="creating", node_count=0, endpoint=None)
                self.clusters = [make(body["name"], node_count=body["node_count"])]
                return 202, made, taken
            case "GET", ["clusters", cluster_id]:
                return 200, self._cluster(cluster_id), {}
            case "DELETE", ["clusters", cluster_id]:
                return 202, {**self._cluster(cluster_id), "status": "deleting"}, taken
            case "POST", ["clusters", cluster_id, "tasks"]:
                return 202, {**self._cluster(cluster_id), "status": "resizing"}, taken
            case "GET", ["clusters", cluster_id, "operations"]:
                bare = {key: value for key, value in self.operation_answers[-1].items() if key != "steps"}
                return 200, {"operations": [bare], "links": []}, {}
            case "GET", ["clusters", cluster_id, "nodes"]:
                self._cluster(cluster_id)
                return 200, {"nodes": self.nodes, "links": []}, {}
            case "GET", ["clusters", cluster_id, "overlays"]:
                return 200, {"overlays": self.overlays, "links": []}, {}
            case "POST", ["clusters", cluster_id, "overlays"]:
                exposed = {"subnet": None, "services": body["services"]} if "services" in body else {}
                self.overlays.append(overlay(body["name"], **exposed))
                return 202, overlay(body["name"], state="creating", verified_at=None, **exposed), taken
            case "DELETE", ["clusters", cluster_id, "overlays", name]:
                return 202, overlay(name, state="removing"), taken
            case "GET", ["clusters", cluster_id, "credentials", "zip"]:
                end = {} if self.expire is None else {"Carina-Credentials-Expire": self.expire}
                return 200, self.archives.get(cluster_id, self.archive), end
            case "GET", ["clusters", cluster_id, "images"]:
                return 200, {"images": self.images, "links": []}, {}
            case "POST", ["clusters", cluster_id, "images"]:
                return 202, {**self.images[0], "state": "pending"}, taken
            case "DELETE", ["clusters", cluster_id, "images", digest]:
                return 200, {each["digest"]: each for each in self.images}[unquote(digest)], {}
            case "GET", ["operations", operation_id] if operation_id == OPERATION_ID:
                return (
                    200,
                    self.operation_answers.pop(0) if self.operation_answers[1:] else self.operation_answers[0],
                    {},
                )
            case _, parts:
                return self.hosts.answer(method, parts, query, body, taken)

    def _cluster(self, cluster_id: str) -> dict[str, Any]:
        return {c["id"]: c for c in self.clusters}[cluster_id]

    def _paged(self, field: str, items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
        ids = [item["id"] for item in items]
        start = ids.index(query["marker"]) + 1 if "marker" in query else 0
        part = items[start : start + self.page]
        more = start + self.page < len(items)
        href = f"/{field}?limit={self.page}&marker={part[-1]['id']}" if more else ""
        return {field: part, "links": [{"rel": "next", "href": href}] if more else []}


def _body_of(handler: BaseHTTPRequestHandler, service: FakeService) -> Any:
    """Return the request's JSON; keep a body that comes in parts."""
    if handler.headers.get("Transfer-Encoding") == "chunked":
        parts = []
        while length := int(handler.rfile.readline(), 16):
            parts.append(handler.rfile.read(length))
            handler.rfile.readline()
        handler.rfile.readline()
        service.uploads.append((b"".join(parts), len(parts)))
        return None
    raw = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    return json.loads(raw) if raw else None


def _handler_of(service: FakeService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            service.connections += 1
            super().setup()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            body = _body_of(self, service)
            service.requests.append((self.command, self.path, dict(self.headers.items()), body))
            key = (self.command, parts.path)
            if service.drops.get(key, 0) > 0:
                service.drops[key] -= 1
                self.close_connection = True
                return
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            open_paths = {"/readyz", "/healthz"}
            headers: dict[str, str] = {}
            if parts.path not in open_paths and self.headers.get("X-Auth-Token") != TOKEN:
                status, document = problem(401, "unauthorized", "A valid token is needed", remedy="Send the token.")
            elif key in service.failures:
                status, document = service.failures[key]
            else:
                try:
                    status, document, headers = service.answer(self.command, parts.path, query, body)
                except KeyError:
                    status, document = problem(404, "not-found", "There is no such thing", detail=f"{parts.path}.")
            content = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/zip" if isinstance(document, bytes) else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - http.server's names

    return Handler
