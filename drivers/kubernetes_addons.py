"""What a Kubernetes cluster holds from its beginning: rights of Carina's own parts, DNS, storage, metrics.

The parts themselves are units of the control plane's node, not pods; these are the objects by which the cluster knows
them. Those of optional parts are manifests of their own, applied only where the part runs.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from domain.options import ClusterOptions

ADMINS = "carina:admins"
"""The group of the certificates that people get."""
DNS_USER = "system:coredns"
FLANNEL_USER = "system:flannel"
METRICS_USER = "system:metrics-server"
STORAGE_USER = "system:local-path-provisioner"
KUBELET_CLIENT = "kube-apiserver-kubelet-client"
METRICS_HOST = "metrics-server.kube-system.svc"
MARK = "carina"
"""The ConfigMap, applied last, that says what the cluster was made with. Where it is, all before it is."""
NAMESPACE = "kube-system"
_METRICS_PORT = 4443
_READ = ["get", "list", "watch"]
_ALL = ["get", "list", "watch", "create", "patch", "update", "delete"]
_RBAC = "rbac.authorization.k8s.io"
_VOLUMES = "/var/lib/carina/volumes"
_PROVISIONER = "rancher.io/local-path"

STORAGE_SETTINGS: Mapping[str, Any] = {
    "nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [_VOLUMES]}]
}
STORAGE_HELPER: Mapping[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "helper-pod"},
    "spec": {
        "tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "helper-pod", "image": "docker.io/carina/probe:1", "imagePullPolicy": "Never"}],
    },
}

_Object = Mapping[str, Any]


def manifest(options: ClusterOptions, address: str) -> bytes:
    """Return what every cluster holds. `address` is where the DNS server listens: on the control plane's node."""
    return _list(
        *_granted(
            DNS_USER,
            [
                _rule(["endpoints", "services", "pods", "namespaces"], ["list", "watch"]),
                _rule(["endpointslices"], ["list", "watch"], group="discovery.k8s.io"),
            ],
        ),
        *_granted(
            FLANNEL_USER,
            [_rule(["pods"], ["get"]), _rule(["nodes"], _READ), _rule(["nodes/status"], ["patch"])],
        ),
        _binding(KUBELET_CLIENT, "system:kubelet-api-admin", {"kind": "User", "name": KUBELET_CLIENT}),
        _binding(ADMINS, "cluster-admin", {"kind": "Group", "name": ADMINS}),
        *_service("kube-dns", address, {"dns": (53, 53, "UDP"), "dns-tcp": (53, 53, "TCP")}, options.dns_address),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": MARK, "namespace": NAMESPACE},
            "data": {
                "network": options.network,
                "podSubnet": options.pod_subnet,
                "serviceSubnet": options.service_subnet,
            },
        },
    )


def metrics_manifest(address: str, ca_pem: bytes) -> bytes:
    """Return the objects of metrics-server. An APIService that nobody serves would hold up deletes of namespaces."""
    metrics = "metrics.k8s.io"
    return _list(
        *_granted(
            METRICS_USER,
            [_rule(["nodes/metrics"], ["get"]), _rule(["pods", "nodes"], _READ)],
        ),
        _binding(f"{METRICS_USER}:auth-delegator", "system:auth-delegator", _user(METRICS_USER)),
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "metrics-server-auth-reader", "namespace": NAMESPACE},
            "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": "extension-apiserver-authentication-reader"},
            "subjects": [_user(METRICS_USER)],
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRole",
            "metadata": {
                "name": "system:aggregated-metrics-reader",
                "labels": {f"{_RBAC}/aggregate-to-{role}": "true" for role in ("admin", "edit", "view")},
            },
            "rules": [_rule(["pods", "nodes"], _READ, group=metrics)],
        },
        *_service("metrics-server", address, {"https": (443, _METRICS_PORT, "TCP")}),
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"v1beta1.{metrics}"},
            "spec": {
                "group": metrics,
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "caBundle": base64.b64encode(ca_pem).decode("ascii"),
                "service": {"name": "metrics-server", "namespace": NAMESPACE},
            },
        },
    )


def storage_manifest() -> bytes:
    """Return the objects of local-path-provisioner, and the default StorageClass: volumes in a node's own directory."""
    return _list(
        *_granted(
            STORAGE_USER,
            [
                _rule(["nodes", "persistentvolumeclaims", "configmaps", "pods", "pods/log"], _READ),
                _rule(["pods"], _ALL),
                _rule(["persistentvolumes"], _ALL),
                _rule(["persistentvolumeclaims"], ["update", "patch"]),
                _rule(["endpoints"], _ALL),
                _rule(["events"], ["create", "patch"]),
                _rule(["storageclasses"], _READ, group="storage.k8s.io"),
                _rule(["leases"], _ALL, group="coordination.k8s.io"),
            ],
        ),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "local-path-config", "namespace": NAMESPACE},
            "data": {
                "config.json": json.dumps(STORAGE_SETTINGS),
                "helperPod.yaml": json.dumps(STORAGE_HELPER),
                "setup": '#!/bin/sh\nset -eu\nmkdir -m 0777 -p "$VOL_DIR"\n',
                "teardown": '#!/bin/sh\nset -eu\nrm -rf "$VOL_DIR"\n',
            },
        },
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": "local-path",
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": _PROVISIONER,
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Delete",
        },
    )


def _list(*objects: _Object) -> bytes:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}, indent=1).encode() + b"\n"


def _rule(resources: Sequence[str], verbs: Sequence[str], group: str = "") -> _Object:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def _user(name: str) -> _Object:
    return {"apiGroup": _RBAC, "kind": "User", "name": name}


def _granted(user: str, rules: Sequence[_Object]) -> Sequence[_Object]:
    """Return a role of the user's own, and that the user has it."""
    role = {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": user}, "rules": rules}
    return [role, _binding(user, user, _user(user))]


def _binding(name: str, role: str, subject: _Object) -> _Object:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": _RBAC, **subject}],
    }


def _service(
    name: str, address: str, ports: Mapping[str, tuple[int, int, str]], cluster_ip: str | None = None
) -> Sequence[_Object]:
    """Return a Service whose one endpoint is a unit of the control plane's node: by port's name, its port and ours."""
    labels = {"k8s-app": name}
    served = [
        {"name": key, "port": port, "targetPort": target, "protocol": protocol}
        for key, (port, target, protocol) in ports.items()
    ]
    targets = [{"name": key, "port": target, "protocol": protocol} for key, (_, target, protocol) in ports.items()]
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
            "spec": {"ports": served} | ({"clusterIP": cluster_ip} if cluster_ip else {}),
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{name}-1",
                "namespace": NAMESPACE,
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": targets,
        },
    ]
