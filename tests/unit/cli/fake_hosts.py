"""What a service says of hosts and of published ports, and how it takes changes to them."""

from typing import Any

from fake_answers import NOW, node, problem

RACK1_ID = "0193b0a0-0000-7000-8000-0000000000f1"
RACK2_ID = "0193b0a0-0000-7000-8000-0000000000f2"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEmxVx4SZzQLmY7sBpy4ZWFTZ8fLSyj5SSTxZdTqXGXw"
GIBIBYTE = 2**30

Answer = tuple[int, Any, dict[str, str]]


def host(name: str = "rack1", host_id: str = RACK1_ID, **changes: Any) -> dict[str, Any]:
    return {
        "id": host_id,
        "name": name,
        "address": "192.0.2.7",
        "user": "root",
        "port": 22,
        "identity": "",
        "host_key": HOST_KEY,
        "fingerprint": "SHA256:fingerprint-of-the-fake",
        "zone": "row-a",
        "state": "ready",
        "cordoned": False,
        "unreachable": None,
        "endpoint": "published",
        "fabric_address": "192.0.2.7",
        "device": "",
        "mtu": 1500,
        "network": "10.64.0.0/16",
        "size": {"cpus": 8.0, "memory_bytes": 16 * GIBIBYTE, "disk_bytes": 100 * GIBIBYTE},
        "free": {"cpus": 6.5, "memory_bytes": 4 * GIBIBYTE, "disk_bytes": 50 * GIBIBYTE},
        "reserved": {"cpus": 4.0, "memory_bytes": 8 * GIBIBYTE, "disk_bytes": 0},
        "node_count": 2,
        "node_limit": 64,
        "capabilities": ["ipvs", "vxlan"],
        "error": None,
        "operation_id": None,
        "measured_at": NOW,
        "created_at": NOW,
        "updated_at": NOW,
        **changes,
    }


def check(name: str = "btrfs", state: str = "ok", **changes: Any) -> dict[str, Any]:
    return {"name": name, "state": state, "detail": f"about {name}", "meaning": "", "remedy": "", **changes}


def publication(host_port: int = 80, node_port: int = 30080, protocol: str = "tcp", **changes: Any) -> dict[str, Any]:
    return {
        "host_port": host_port,
        "node_port": node_port,
        "protocol": protocol,
        "addresses": [f"192.0.2.7:{host_port}", f"192.0.2.8:{host_port}"],
        "created_at": NOW,
        **changes,
    }


class FakeHosts:
    """Hosts and published ports. A host is added once its key is confirmed: that is `host_key`, or any if it is None.

    `report` is what was measured of each, `changes` what a preview says would be changed.
    """

    def __init__(self) -> None:
        self.hosts = [host()]
        self.host_key: str | None = HOST_KEY
        self.report = {"checks": [check()], "measured_at": NOW}
        self.changes = ["install the package lxc"]
        self.nodes = [{**node(), "cluster": {"id": "id-of-demo", "name": "demo"}}]
        self.publications = [publication()]

    def answer(  # noqa: C901, PLR0911 - the table of routes
        self, method: str, parts: list[str], query: dict[str, str], body: Any, taken: dict[str, str]
    ) -> Answer:
        """Return status, document and headers; raises KeyError for what is not there."""
        match method, parts:
            case "GET", ["hosts"]:
                found = [each for each in self.hosts if query.get("name", each["name"]).lower() == each["name"].lower()]
                return 200, {"hosts": found, "links": []}, {}
            case "POST", ["hosts"] | ["hosts", "preview"] if self.host_key is not None and "host_key" not in body:
                said = f"The host at {body['address']} presents the key SHA256:..."
                title = "The host's key is to be confirmed"
                return *problem(409, "host-key-unconfirmed", title, detail=said, host_key=self.host_key), {}
            case "POST", ["hosts", "preview"]:
                return 200, {"report": self.report, "changes": self.changes}, {}
            case "POST", ["hosts"]:
                made = host(body["name"], address=body["address"], node_count=0)
                self.hosts = [made]
                return 202, {**made, "state": "preparing"}, taken
            case "GET", ["hosts", host_id]:
                return 200, self._host(host_id), {}
            case "GET", ["hosts", host_id, "report"]:
                self._host(host_id)
                return 200, self.report, {}
            case "GET", ["hosts", host_id, "nodes"]:
                self._host(host_id)
                return 200, {"nodes": self.nodes, "links": []}, {}
            case "POST", ["hosts", host_id, "tasks"] if body["type"] in {"cordon", "uncordon"}:
                return 202, {**self._host(host_id), "cordoned": body["type"] == "cordon"}, {}
            case "POST", ["hosts", host_id, "tasks"]:
                return 202, self._host(host_id), taken
            case "GET", ["clusters", _, "publications"]:
                return 200, {"publications": self.publications, "links": []}, {}
            case "POST", ["clusters", _, "publications"]:
                self.publications.append(publication(**body))
                return 202, publication(**body, addresses=[]), taken
            case "DELETE", ["clusters", _, "publications", port, protocol]:
                known = {(str(each["host_port"]), each["protocol"]): each for each in self.publications}
                return 202, known[port, protocol], taken
        raise KeyError(parts)

    def _host(self, host_id: str) -> dict[str, Any]:
        return {each["id"]: each for each in self.hosts}[host_id]
