"""The API's documents as a service sends them, each with what a test wants to be different."""

import io
import zipfile
from typing import Any

NOW = "2026-01-02T03:04:05Z"
SWARM = {"id": 22, "name": "Docker Swarm 26.1 on LXC", "coe": "swarm", "host_type": "lxc", "active": True}
KUBERNETES = {
    "id": 20,
    "name": "Kubernetes 1.35 on LXC",
    "coe": "kubernetes",
    "version": "1.35.4",
    "host_type": "lxc",
    "active": True,
}
DEMO_ID = "0193b0a0-0000-7000-8000-000000000001"
OTHER_ID = "0193b0a0-0000-7000-8000-000000000002"
KUBERNETES_ID = "0193b0a0-0000-7000-8000-000000000003"
OPERATION_ID = "0193b0a0-0000-7000-8000-00000000000a"
FAILURE = {
    "code": "docker-silent",
    "title": "The container engine of a node never answered",
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


def kubernetes_cluster(name: str = "k1", cluster_id: str = KUBERNETES_ID, **changes: Any) -> dict[str, Any]:
    options = {
        "network": "flannel",
        "pod_subnet": "10.244.0.0/16",
        "service_subnet": "10.245.0.0/16",
        "registry_mirrors": {"docker.io": "http://10.0.0.5:5000"},
        "insecure_registries": ["10.0.0.5:5000"],
    }
    seen = [
        {"name": "dns", "works": True, "detail": "", "verified_at": NOW},
        {"name": "network-policy", "works": False, "detail": "A denied probe got through.", "verified_at": NOW},
    ]
    more = {"cluster_type": KUBERNETES, "endpoint": "https://10.64.1.10:6443", "options": options, "capabilities": seen}
    return cluster(name, cluster_id, **{**more, **changes})


def image(*names: str, digest: str = "sha256:" + "ab" * 32, **changes: Any) -> dict[str, Any]:
    return {
        "digest": digest,
        "names": list(names),
        "size_bytes": 12_345_678,
        "state": "active",
        "error": None,
        "created_at": NOW,
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
        "endpoint": None,
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


def kubernetes_archive(**changes: str) -> bytes:
    config = """\
apiVersion: v1
kind: Config
clusters:
- name: k1
  cluster:
    server: https://10.64.1.10:6443
    certificate-authority: ca.pem
users:
- name: k1
  user: {client-certificate: cert.pem, client-key: key.pem}
contexts:
- name: k1
  context: {cluster: k1, user: k1}
current-context: k1
"""
    files = {
        "ca.pem": "ca",
        "cert.pem": "cert",
        "key.pem": "key",
        "kubectl.config": config,
        "kubectl.env": "KUBECONFIG",
    }
    return archive({**files, **changes})


def problem(status: int, code: str, title: str, **more: str) -> tuple[int, dict[str, Any]]:
    error = {"code": code, "title": title, "detail": "", "status": status, "request_id": "req-1", "links": [], **more}
    return status, {"errors": [error]}
