"""The demo with Kubernetes: replicas on two nodes answer through one Service, from outside and from inside."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import httpx
from service import BIN, Service
from timings import Timings

CLUSTER = "demo-k8s"
NODES = 2
MANIFEST = Path(__file__).with_name("hello.yaml")
NODE_PORT = 30080
NAME = "hello.default.svc.cluster.local"
ROLLOUT_TIMEOUT = "60s"
ANSWERS_TIMEOUT_S = 20.0
_NODE = re.compile(r"on node (\S+)")


def show(service: Service, timings: Timings) -> None:
    """Make the cluster, run the Deployment, and say what came of it."""
    version = _newest_version(service)
    with timings.part(f"Have the binaries of Kubernetes {version}"):
        _ensure_release(service, version)
    with timings.part(f"Create the Kubernetes cluster '{CLUSTER}' of {NODES} nodes"):
        cluster_id = service.ensure_cluster(CLUSTER, NODES, "kubernetes")
    kubectl = Kubectl(service, version)
    with timings.part("Roll out three replicas over the nodes, and a Service"):
        kubectl.show("get", "nodes")
        kubectl.show("apply", "-f", os.path.relpath(MANIFEST))
        kubectl.show("rollout", "status", "deployment/hello", f"--timeout={ROLLOUT_TIMEOUT}")
        kubectl.show("get", "pods", "-l", "app=hello", "-o", "wide")
    with timings.part("Ask through the Service, until replicas on both nodes have answered"):
        for door in service.doors(CLUSTER, cluster_id, NODE_PORT):
            url = f"http://{door}/"
            print(f"$ curl {url}")
            _print_answers(partial(_fetch, url))
        asked = ("exec", "deployment/hello", "--", "wget", "-q", "-T", "2", "-O", "-", f"http://{NAME}/")
        print(f"$ kubectl {' '.join(asked)}")
        _print_answers(partial(kubectl.output, *asked))
    steps = service.create_steps(cluster_id)
    print(f"\nWhere the time went:\n{timings.table()}\n\nThe create's steps:\n{steps}")
    print(service.addresses() + _next(kubectl))


class Kubectl:
    """The release's own kubectl, pointed at the demo's cluster as `carina env` does it."""

    def __init__(self, service: Service, version: str) -> None:
        self.directory = service.settings.home / "releases" / f"kubernetes-{version}" / "bin"
        env = [BIN / "carina", "env", CLUSTER, "--output", "json"]
        done = subprocess.run(env, env=service.environment, check=True, stdout=subprocess.PIPE)
        self._environment = service.environment | json.loads(done.stdout)

    def show(self, *arguments: str) -> None:
        """Run kubectl as a person would see it. A failure ends the demo."""
        print(f"$ kubectl {' '.join(arguments)}", flush=True)
        if subprocess.run(self._command(arguments), env=self._environment, check=False).returncode:
            sys.exit(f"kubectl failed. 'carina get {CLUSTER}' says how the cluster is.")

    def output(self, *arguments: str) -> str | None:
        """Return what kubectl prints, or None if it fails."""
        done = subprocess.run(
            self._command(arguments), env=self._environment, check=False, capture_output=True, text=True
        )
        return None if done.returncode else done.stdout

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return [str(self.directory / "kubectl"), *arguments]


def _newest_version(service: Service) -> str:
    """Return the newest version of Kubernetes that the service makes clusters of."""
    kinds = service.get("/cluster_types")["cluster_types"]
    versions = [kind["version"] for kind in kinds if kind["coe"] == "kubernetes" and kind["active"]]
    return str(max(versions, key=lambda version: [int(part) for part in version.split(".")]))


def _ensure_release(service: Service, version: str) -> None:
    """Add the release, unless it is there: fetched, or built where it can't be. Progress is the command's own."""
    listed = subprocess.run(
        [BIN / "carinad", "release", "ls", "--json"], env=service.environment, check=True, stdout=subprocess.PIPE
    )
    if any((found["name"], found["version"]) == ("kubernetes", version) for found in json.loads(listed.stdout)):
        print("They are there")
        return
    command = ["carinad", "release", "add", "kubernetes", version]
    print(f"$ {' '.join(command)}", flush=True)
    if subprocess.run([BIN / command[0], *command[1:]], env=service.environment, check=False).returncode:
        sys.exit("There is no release to make the cluster of.")


def _fetch(url: str) -> str | None:
    """Return what is served at `url`, each time over a connection of its own; None if nothing is."""
    try:
        return httpx.get(url, timeout=2, trust_env=False).raise_for_status().text
    except httpx.HTTPError:
        return None


def _print_answers(ask: Callable[[], str | None]) -> None:
    """Ask until replicas on all nodes have answered; print each one's first answer."""
    deadline = time.monotonic() + ANSWERS_TIMEOUT_S
    heard: set[str] = set()
    while len({found[1] for answer in heard if (found := _NODE.search(answer))}) < NODES:
        if time.monotonic() > deadline:
            sys.exit(f"Not all nodes' replicas answered within {ANSWERS_TIMEOUT_S:.0f} s.")
        answer = ask()
        if answer and answer not in heard:
            heard.add(answer)
            print(answer, end="", flush=True)


def _next(kubectl: Kubectl) -> str:
    return f"""
Next:
  source .venv/bin/activate
  export PATH=$PATH:{kubectl.directory}   # unless you have a kubectl
  eval "$(carina env {CLUSTER})"; kubectl get pods --all-namespaces
  carina kubeconfig {CLUSTER}      # for good, in ~/.kube/config
  carina grow {CLUSTER} --by 1 --wait
  carina operations {CLUSTER}
  make down               # stops it all; 'make demo KUBERNETES=1' brings it back
  make down PURGE=1       # removes the data too
"""
