"""The demo with Docker Swarm: a container on one node answers a container on another."""

import io
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor

import docker
from service import Service
from timings import Timings

CLUSTER = "demo"
NODES = 3
OVERLAY = "carina"
IMAGE = "carina/probe:1"
WEB = "web"
DOCKER_API = "1.45"
PAGE = "Hello from a container on {node}"
NEXT = f"""
Next:
  source .venv/bin/activate
  carina ls
  eval "$(carina env {CLUSTER})"; docker info
  carina grow {CLUSTER} --by 1 --wait
  carina operations {CLUSTER}
  make demo KUBERNETES=1 # the same with Kubernetes
  make down              # stops it all; 'make demo' brings it back
  make down PURGE=1      # removes the data too
"""


def show(service: Service, timings: Timings) -> None:
    """Make the cluster, run the containers, and say what came of it."""
    with timings.part(f"Create the Swarm cluster '{CLUSTER}' of {NODES} nodes"):
        cluster_id = service.ensure_cluster(CLUSTER, NODES, "swarm")
    nodes = service.get(f"/clusters/{cluster_id}/nodes")["nodes"]
    with timings.part("Run a web container on one node, ask it from another"):
        answer = _ask(service, cluster_id, [node["name"] for node in nodes], [node["endpoint"] for node in nodes])
    steps = service.create_steps(cluster_id)
    print(f"\nThe answer: {answer}\n\nWhere the time went:\n{timings.table()}\n\nThe create's steps:\n{steps}")
    print(service.addresses() + NEXT)


def _ask(service: Service, cluster_id: str, names: list[str], endpoints: list[str]) -> str:
    """Run the web container on the second node, and return what a container on the third gets from it."""
    archive = service.api.get(f"/clusters/{cluster_id}/credentials/zip").raise_for_status().content
    with tempfile.TemporaryDirectory() as keys:
        zipfile.ZipFile(io.BytesIO(archive)).extractall(keys)
        tls = docker.tls.TLSConfig(
            client_cert=(f"{keys}/cert.pem", f"{keys}/key.pem"), ca_cert=f"{keys}/ca.pem", verify=True
        )
        web, asker = (_engine(endpoint, tls) for endpoint in endpoints[1:3])
        page = PAGE.format(node=names[1])
        serve = f"mkdir -p /www && echo '{page}' > /www/index.html && exec httpd -f -p 80 -h /www"
        until = f"until wget -q -T 1 -O - http://{WEB}/; do usleep 50000; done"
        with ThreadPoolExecutor() as pool:  # both start at once: the one that asks, asks until it is answered
            serving = pool.submit(_ensure_web, web, serve)
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


def _ensure_web(node: docker.DockerClient, command: str) -> None:
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


def _engine(endpoint: str, tls: docker.tls.TLSConfig) -> docker.DockerClient:
    """Return a client of a node's engine that trusts the cluster's authority, and not REQUESTS_CA_BUNDLE before it."""
    client = docker.DockerClient(base_url=endpoint, tls=tls, version=DOCKER_API)
    client.api.trust_env = False
    return client
