"""A Carina service that only speaks: the API's shapes over real HTTP, from a script, for the command's tests."""

import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "a-token-of-the-tests"
NOW = "2026-01-02T03:04:05Z"
SWARM = {"id": 22, "name": "Docker Swarm 26.1 on LXC", "coe": "swarm", "host_type": "lxc", "active": True}
DEMO_ID = "0193b0a0-0000-7000-8000-000000000001"
OTHER_ID = "0193b0a0-0000-7000-8000-000000000002"
OPERATION_ID = "0193b0a0-0000-7000-8000-00000000000a"
FAILURE = {
    "code": "docker-silent",
    "title": "Docker on a node never answered",
    "detail": "demo-2 did not answer within 60 s.",
    "remedy": "Look at docker.service's journal in the node.",
}


def cluster(name: str = "demo", cluster_id: str = DEMO_ID, **changes: Any) -> dict[str, Any]:
    return {
        "id": cluster_id,
        "name": name,
        "status": "active",
        "node_count": 2,
        "cluster_type": SWARM,
        "created_at": NOW,
        "updated_at": NOW,
        "health": "healthy",
        "conditions": [],
        "error": None,
        "endpoint": "tcp://10.64.0.10:2376",
        "subnet": "10.64.0.0/24",
        "operation_id": None,
        **changes,
    }


def step(name: str = "ensure_node", node: str | None = "demo-1", **changes: Any) -> dict[str, Any]:
    titles = {"ensure_node": "Start the node", "form_cluster": "Form the cluster"}
    return {
        "name": name,
        "title": titles[name],
        "node": node,
        "host": "local",
        "attempt": 1,
        "state": "succeeded",
        "error": None,
        "started_at": "2026-01-02T03:04:05.000Z",
        "ended_at": "2026-01-02T03:04:06.250Z",
        **changes,
    }


def operation(state: str = "succeeded", **changes: Any) -> dict[str, Any]:
    return {
        "id": OPERATION_ID,
        "cluster_id": DEMO_ID,
        "host_id": None,
        "kind": "create",
        "state": state,
        "error": None,
        "workflow_id": f"cluster-{DEMO_ID}",
        "run_id": None,
        "created_at": "2026-01-02T03:04:05Z",
        "started_at": "2026-01-02T03:04:05Z",
        "ended_at": "2026-01-02T03:04:09Z" if state in {"succeeded", "failed", "cancelled"} else None,
        "steps": [step(), step("form_cluster")],
        **changes,
    }


def node(name: str = "demo-1", role: str = "manager") -> dict[str, Any]:
    return {
        "id": f"id-of-{name}",
        "name": name,
        "role": role,
        "state": "active",
        "address": "10.64.0.10",
        "host": "local",
        "container": f"test-{name}",
        "created_at": NOW,
    }


def overlay(name: str = "carina", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "subnet": "10.128.0.0/24",
        "mtu": 1450,
        "attachable": True,
        "encrypted": False,
        "state": "active",
        "error": None,
        "verified_at": NOW,
        "created_at": NOW,
        **changes,
    }


def archive(files: dict[str, str] | None = None, *, folder: str = "") -> bytes:
    held = io.BytesIO()
    contents = files or {
        "ca.pem": "ca",
        "cert.pem": "cert",
        "key.pem": "key",
        "docker.env": "export DOCKER_TLS_VERIFY=1\nexport DOCKER_HOST=tcp://10.64.0.10:2376\n",
    }
    with zipfile.ZipFile(held, "w") as opened:
        for name, content in contents.items():
            opened.writestr(folder + name, content)
    return held.getvalue()


class FakeService:
    """Serves what its attributes say. `operations` answers are given one after the other, the last for ever.

    `requests` has every request as (method, path with query, headers, body). `failures` has errors to answer with,
    by method and path: (status, error document). `drops` counts down connections to close without an answer.
    """

    def __init__(self) -> None:
        self.clusters = [cluster()]
        self.nodes = [node(), node("demo-2", "worker")]
        self.overlays = [overlay()]
        self.operation_answers = [operation()]
        self.accepts_operation = True
        self.archive = archive()
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
                return 200, {"cluster_types": [SWARM]}, {}
            case "GET", ["clusters"]:
                found = [c for c in self.clusters if query.get("name", c["name"]).lower() == c["name"].lower()]
                return 200, self._paged("clusters", found, query), {}
            case "POST", ["clusters"]:
                made = cluster(body["name"], status="creating", node_count=0, endpoint=None)
                self.clusters = [cluster(body["name"], node_count=body["node_count"])]
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
                self.overlays.append(overlay(body["name"]))
                return 202, overlay(body["name"], state="creating", verified_at=None), taken
            case "DELETE", ["clusters", cluster_id, "overlays", name]:
                return 202, overlay(name, state="removing"), taken
            case "GET", ["clusters", cluster_id, "credentials", "zip"]:
                return 200, self.archive, {}
            case "GET", ["operations", operation_id] if operation_id == OPERATION_ID:
                return (
                    200,
                    self.operation_answers.pop(0) if self.operation_answers[1:] else self.operation_answers[0],
                    {},
                )
        raise KeyError(path)

    def _cluster(self, cluster_id: str) -> dict[str, Any]:
        return {c["id"]: c for c in self.clusters}[cluster_id]

    def _paged(self, field: str, items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
        ids = [item["id"] for item in items]
        start = ids.index(query["marker"]) + 1 if "marker" in query else 0
        part = items[start : start + self.page]
        more = start + self.page < len(items)
        href = f"/{field}?limit={self.page}&marker={part[-1]['id']}" if more else ""
        return {field: part, "links": [{"rel": "next", "href": href}] if more else []}


def problem(status: int, code: str, title: str, **more: str) -> tuple[int, dict[str, Any]]:
    error = {"code": code, "title": title, "detail": "", "status": status, "request_id": "req-1", "links": [], **more}
    return status, {"errors": [error]}


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
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.loads(raw) if raw else None
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
