"""The Carina that the demo runs on: its API, its client, and the demo's cluster on it."""

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from worker.background import start_in_background
from worker.home import Home
from worker.settings import Settings

BIN = Path(sys.executable).parent
Json = dict[str, Any]


class Service:
    """A service that runs."""

    def __init__(self, settings: Settings) -> None:
        start_in_background(settings)
        self.settings = settings
        self.api = httpx.Client(
            base_url=f"http://{settings.listen}",
            headers={"X-Auth-Token": Home(settings.home).admin_token()},
            timeout=10,
        )
        self.environment = os.environ | {
            "CARINA_HOME": str(settings.home),
            "CARINA_ENDPOINT": f"http://{settings.listen}",
        }

    def get(self, path: str, **params: str) -> Json:
        """Return what the API has at `path`."""
        found: Json = self.api.get(path, params=params).raise_for_status().json()
        return found

    def ensure_cluster(self, name: str, nodes: int, kind: str) -> str:
        """Return the id of a cluster, after making it if it is not there. Progress is the client's own."""
        found = self.get("/clusters", name=name)["clusters"]
        if found:
            print(f"It is there: {found[0]['status']}, {found[0]['node_count']} nodes")
        else:
            command = ["carina", "create", name, "--type", kind, "--nodes", str(nodes), "--wait"]
            if subprocess.run([BIN / command[0], *command[1:]], env=self.environment, check=False).returncode:
                sys.exit(f"The cluster could not be made. 'carina delete {name}' clears it away.")
            found = self.get("/clusters", name=name)["clusters"]
        return str(found[0]["id"])

    def doors(self, cluster: str, cluster_id: str, port: int) -> list[str]:
        """Return where a port of the cluster's nodes is reached, as address:port; published on hosts if need be."""
        nodes = self.get(f"/clusters/{cluster_id}/nodes")["nodes"]
        reach = {host["name"]: host["endpoint"] for host in self.get("/hosts")["hosts"]}
        direct = [f"{node['address']}:{port}" for node in nodes if reach[node["host"]] == "direct"]
        if len(direct) == len(nodes):
            return direct
        path = f"/clusters/{cluster_id}/publications"
        if not self.get(path)["publications"]:
            command = [BIN / "carina", "publish", cluster, f"{port}:{port}"]
            subprocess.run(command, env=self.environment, check=True)
        return direct + [str(address) for address in self.get(path)["publications"][0]["addresses"]]

    def create_steps(self, cluster_id: str) -> str:
        """Return the steps of the cluster's create, with their seconds."""
        operations = self.get(f"/clusters/{cluster_id}/operations")["operations"]
        create = next(operation for operation in operations if operation["kind"] == "create")
        steps = self.get(f"/operations/{create['id']}")["steps"]
        return "\n".join(f"  {_took_s(step):6.2f} s  {step['title']} {step['node'] or ''}".rstrip() for step in steps)

    def addresses(self) -> str:
        """Return where the service can be looked at."""
        ui = json.loads((self.settings.home / "instance.json").read_text())["temporal_ui_port"]
        return f"""
API            http://{self.settings.listen}
Documentation  http://{self.settings.listen}/docs
Temporal UI    http://127.0.0.1:{ui}
"""


def _took_s(step: Json) -> float:
    started, ended = (datetime.fromisoformat(step[name]) for name in ("started_at", "ended_at"))
    return (ended - started).total_seconds()
