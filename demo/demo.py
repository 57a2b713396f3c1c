"""The demo: from nothing to a container on one node that answers a container on another."""

import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import docker
import httpx

from worker.background import start_in_background
from worker.home import Home
from worker.settings import Settings

CLUSTER = "demo"
NODES = 3
OVERLAY = "carina"
IMAGE = "carina/probe:1"
WEB = "web"
DOCKER_API = "1.45"
PAGE = "Hello from a container on {node}"


class Timings:
    """How long each part took, printed as it goes and once more at the end."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, float]] = []

    @contextmanager
    def part(self, title: str) -> Iterator[None]:
        """Time one part."""
        print(f"\n== {title}", flush=True)
        began = time.monotonic()
        yield
        self._rows.append((title, time.monotonic() - began))

    def table(self) -> str:
        """Return the parts with their seconds."""
        total = sum(took for _, took in self._rows)
        return "\n".join(f"  {took:6.1f} s  {title}" for title, took in [*self._rows, ("in all", total)])


def main() -> None:
    """Run the demo."""
    settings = Settings()
    timings = Timings()
    with timings.part("Start Carina, prepare this machine"):
        start_in_background(settings)
    api = httpx.Client(
        base_url=f"http://{settings.listen}",
        headers={"X-Auth-Token": Home(settings.home).admin_token()},
        timeout=10,
    )
    with timings.part(f"Create the Swarm cluster '{CLUSTER}' of {NODES} nodes"):
        cluster_id = ensure_cluster(api, settings)
    nodes = api.get(f"/clusters/{cluster_id}/nodes").raise_for_status().json()["nodes"]
    with timings.part("Run a web container on one node, ask it from another"):
        answer = ask(api, cluster_id, [node["name"] for node in nodes], [node["address"] for node in nodes])
    steps = create_steps(api, cluster_id)
    print(f"\nThe answer: {answer}\n\nWhere the time went:\n{timings.table()}\n\nThe create's steps:\n{steps}")
    print(next_commands(settings))


def ensure_cluster(api: httpx.Client, settings: Settings) -> str:
    """Return the id of the demo's cluster, after making it if it is not there. Progress is the client's own."""
    found = api.get("/clusters", params={"name": CLUSTER}).raise_for_status().json()["clusters"]
    if found:
        print(f"It is there: {found[0]['status']}, {found[0]['node_count']} nodes")
    else:
        environment = os.environ | {
            "CARINA_HOME": str(settings.home),
            "CARINA_ENDPOINT": f"http://{settings.listen}",
        }
        command = [str(Path(sys.executable).parent / "carina"), "create", CLUSTER, "--nodes", str(NODES), "--wait"]
        if subprocess.run(command, env=environment, check=False).returncode:
            sys.exit(f"The cluster could not be made. 'carina delete {CLUSTER}' clears it away.")
        found = api.get("/clusters", params={"name": CLUSTER}).raise_for_status().json()["clusters"]
    return str(found[0]["id"])


def ask(api: httpx.Client, cluster_id: str, names: list[str], addresses: list[str]) -> str:
    """Run the web container on the second node, and return what a container on the third gets from it."""
    archive = api.get(f"/clusters/{cluster_id}/credentials/zip").raise_for_status().content
    with tempfile.TemporaryDirectory() as keys:
        zipfile.ZipFile(io.BytesIO(archive)).extractall(keys)
        tls = docker.tls.TLSConfig(
            client_cert=(f"{keys}/cert.pem", f"{keys}/key.pem"), ca_cert=f"{keys}/ca.pem", verify=True
        )
        web, asker = (engine(address, tls) for address in addresses[1:3])
        page = PAGE.format(node=names[1])
        serve = f"mkdir -p /www && echo '{page}' > /www/index.html && exec httpd -f -p 80 -h /www"
        until = f"until wget -q -T 1 -O - http://{WEB}/; do usleep 50000; done"
        with ThreadPoolExecutor() as pool:  # both start at once: the one that asks, asks until it is answered
            serving = pool.submit(ensure_web, web, serve)
            print(f"'{WEB}' runs on {names[1]}; asking it from {names[2]}")
            output = asker.containers.run(
                IMAGE,
                ["timeout", "20", "sh", "-c", until],
                network=OVERLAY,
                dns=["127.0.0.1"],  # a name that is not known yet is asked for again, not outside
                remove=True,
            )
            serving.result()
        return f"{output.decode().strip()} (asked from {names[2]})"


def ensure_web(node: docker.DockerClient, command: str) -> None:
    """Run the web container on `node`, unless it runs."""
    if node.containers.list(filters={"name": f"^{WEB}$"}):
        return
    for stopped in node.containers.list(all=True, filters={"name": f"^{WEB}$"}):
        stopped.remove(force=True)
    node.containers.run(
        IMAGE,
        ["sh", "-c", command],
        name=WEB,
        detach=True,
        network=OVERLAY,
        restart_policy={"Name": "unless-stopped"},
    )


def engine(address: str, tls: docker.tls.TLSConfig) -> docker.DockerClient:
    """Return a client of a node's engine that trusts the cluster's authority, and not REQUESTS_CA_BUNDLE before it."""
    client = docker.DockerClient(base_url=f"https://{address}:2376", tls=tls, version=DOCKER_API)
    client.api.trust_env = False
    return client


def create_steps(api: httpx.Client, cluster_id: str) -> str:
    """Return the steps of the cluster's create, with their seconds."""
    operations = api.get(f"/clusters/{cluster_id}/operations").raise_for_status().json()["operations"]
    create = next(operation for operation in operations if operation["kind"] == "create")
    steps = api.get(f"/operations/{create['id']}").raise_for_status().json()["steps"]
    return "\n".join(f"  {_took_s(step):6.2f} s  {step['title']} {step['node'] or ''}".rstrip() for step in steps)


def _took_s(step: dict[str, str]) -> float:
    started, ended = (datetime.fromisoformat(step[name]) for name in ("started_at", "ended_at"))
    return (ended - started).total_seconds()


def next_commands(settings: Settings) -> str:
    """Return what to type next."""
    ui = json.loads((settings.home / "instance.json").read_text())["temporal_ui_port"]
    return f"""
API            http://{settings.listen}
Documentation  http://{settings.listen}/docs
Temporal UI    http://127.0.0.1:{ui}

Next:
  source .venv/bin/activate
  carina ls
  eval "$(carina env {CLUSTER})"; docker info
  carina grow {CLUSTER} --by 1 --wait
  carina operations {CLUSTER}
  make down              # stops it all; 'make demo' brings it back
  make down PURGE=1      # removes the data too
"""


if __name__ == "__main__":
    main()
