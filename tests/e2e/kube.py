"""A Kubernetes cluster as its people see it: through its API and its kubectl, with the cluster's credentials."""

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
from credentials import credentials
from installation import KUBERNETES_VERSION, Installation, Json, until

PROBE_IMAGE = "carina/probe:1"
PORT = 6443
ANSWER_S = 90.0
"""After a reboot, until the cluster's names and ways are known everywhere."""
PAGE = "it works"
WEB = f"mkdir -p /www && echo {PAGE} > /www/index.html && exec httpd -f -p 8080 -h /www"
PODS = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
NODES = "/api/v1/nodes"
NAMESPACES = "/api/v1/namespaces"
OWN_NAMESPACES = {"default", "kube-system", "kube-public", "kube-node-lease"}
AT_ONCE = {"gracePeriodSeconds": 0}


def context_of(files: Path, *, authority: Path | None = None) -> ssl.SSLContext:
    """TLS with the client's certificate in `files`; the server's is to be of the authority there, if not another."""
    context = ssl.create_default_context(cafile=str((authority or files) / "ca.pem"))
    context.load_cert_chain(files / "cert.pem", files / "key.pem")
    return context


class Kube:
    """A client of a cluster's API. Fits `People`."""

    def __init__(self, installation: Installation, cluster_id: str) -> None:
        self.installation = installation
        self.cluster_id = cluster_id
        self.files = credentials(installation, cluster_id)
        endpoint = installation.cluster(cluster_id)["endpoint"]
        self._http = httpx.Client(base_url=endpoint, verify=context_of(self.files), timeout=30, trust_env=False)

    def call(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """Send one request, and return the answer, which has to be a good one."""
        response = self._http.request(method, path, **kwargs)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response

    def get(self, path: str, **query: str) -> Json:
        body: Json = self.call("GET", path, params=query).json()
        return body

    def items(self, path: str, **query: str) -> list[Json]:
        found: list[Json] = self.get(path, **query)["items"]
        return found

    def kubectl(self, *words: str) -> str:
        """Run the release's kubectl to its end, and return what it says."""
        command = (kubectl_of(self.installation), "--kubeconfig", str(self.files / "kubectl.config"), *words)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    @property
    def addresses(self) -> list[str]:
        """Addresses of the nodes, the control plane's first."""
        return [node["address"] for node in self.installation.nodes(self.cluster_id)]

    def members(self) -> list[tuple[str, str]]:
        """Name and state of each node that the cluster lists."""
        return sorted((item["metadata"]["name"], _state(item)) for item in self.items(NODES))

    def ready(self) -> int:
        try:
            return [state for _, state in self.members()].count("ready")
        except (httpx.TransportError, AssertionError):
            return 0

    def run(self, name: str, address: str) -> None:
        self.pod(name, address, WEB, again="Always")
        self._expose(name)

    def remove(self, name: str, address: str) -> None:
        self.call("DELETE", f"{SERVICES}/{name}")
        self.remove_pod(name)

    def serve(self, name: str, replicas: int) -> None:
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": _pod_spec(WEB)}
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        self.call("POST", DEPLOYMENTS, json={"metadata": {"name": name}, "spec": spec})
        self._expose(name)

    def serve_outside(self, name: str, replicas: int) -> int:
        self.serve(name, replicas)
        spec = {"type": "NodePort", "selector": {"app": name}, "ports": [{"port": 8080, "nodePort": 30080}]}
        self.call("POST", SERVICES, json={"metadata": {"name": f"{name}-outside"}, "spec": spec})
        return 30080

    def serving(self, name: str) -> int:
        try:
            return int(self.get(f"{DEPLOYMENTS}/{name}")["status"].get("readyReplicas", 0))
        except (httpx.TransportError, AssertionError):
            return 0

    def places(self, name: str) -> set[str]:
        return {pod["spec"]["nodeName"] for pod in self.items(PODS, labelSelector=f"app={name}")}

    async def fetch(self, asker: str, name: str) -> str:
        """Return what a pod on the node with the address `asker` gets from the Service `name`."""
        pod = f"asks-{name}"
        self.pod(pod, asker, f"until wget -q -T 2 -O - http://{name}:8080/ 2> /dev/null; do usleep 50000; done")
        try:
            await until(
                lambda: self.get(f"{PODS}/{pod}")["status"]["phase"] == "Succeeded",
                ANSWER_S,
                f"{asker} gets an answer from {name}",
            )
            return self.log(pod)
        finally:
            self.remove_pod(pod)

    def pod(self, name: str, address: str, script: str, *, again: str = "Never") -> None:
        """Start a pod on the node with that address; `again` says when it is started again after its end."""
        spec = {**_pod_spec(script), "restartPolicy": again, "nodeName": self._node_at(address)}
        self.call("POST", PODS, json={"metadata": {"name": name, "labels": {"app": name}}, "spec": spec})

    def log(self, name: str) -> str:
        """What a pod has said; nothing as long as it has not started."""
        response = self._http.get(f"{PODS}/{name}/log")
        return response.text.strip() if response.is_success else ""

    def remove_pod(self, name: str) -> None:
        response = self._http.request("DELETE", f"{PODS}/{name}", json=AT_ONCE)
        assert response.is_success or response.status_code == HTTPStatus.NOT_FOUND, response.text

    def leftovers(self) -> list[str]:
        """Namespaces that were not deleted, and pods in the people's own. Deleted ones take a while to be gone."""
        namespaces = [item["metadata"] for item in self.items(NAMESPACES)]
        found = [m["name"] for m in namespaces if "deletionTimestamp" not in m and m["name"] not in OWN_NAMESPACES]
        return found + [item["metadata"]["name"] for item in self.items(PODS)]

    def close(self) -> None:
        self._http.close()

    def _node_at(self, address: str) -> str:
        nodes = self.installation.nodes(self.cluster_id)
        return next(str(node["name"]).lower() for node in nodes if node["address"] == address)

    def _expose(self, name: str) -> None:
        spec = {"selector": {"app": name}, "ports": [{"port": 8080}]}
        self.call("POST", SERVICES, json={"metadata": {"name": name}, "spec": spec})


@contextmanager
def kube_of(installation: Installation, cluster: Json) -> Iterator[Kube]:
    kube = Kube(installation, cluster["id"])
    try:
        yield kube
    finally:
        kube.close()


def kubectl_of(installation: Installation) -> str:
    """The kubectl of the release that the cluster is made of."""
    return str(installation.home / "releases" / f"kubernetes-{KUBERNETES_VERSION}" / "bin" / "kubectl")


def _pod_spec(script: str) -> Json:
    container = {"name": "main", "image": PROBE_IMAGE, "imagePullPolicy": "Never", "command": ["sh", "-c", script]}
    return {"containers": [container], "terminationGracePeriodSeconds": 0}


def _state(node: Json) -> str:
    ready = next((entry["status"] for entry in node["status"]["conditions"] if entry["type"] == "Ready"), "")
    return "ready" if ready == "True" else "not ready"
