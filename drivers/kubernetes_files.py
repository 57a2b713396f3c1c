"""The files that a node of a Kubernetes cluster has before its first start, certificates included.

A node's units are in its image, and each runs only where its settings are: so these files say what a node is. The
settings are described at https://kubernetes.io/docs/reference/config-api/.
"""

import base64
import ipaddress
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from domain.facts import ClusterFacts
from domain.nodes import Member, NodeFile, NodePlan, NodeRole
from domain.options import NETWORK_FLANNEL, ClusterOptions
from domain.secrets import Access, ClusterKeys, KeyPair
from drivers import kubernetes_addons as addons
from drivers import kubernetes_keys as keys_of
from drivers.kubernetes_client import API_PORT
from drivers.kubernetes_kubeconfig import kubeconfig
from drivers.kubernetes_registries import registry_files
from drivers.pki import CertificatePki

CLUSTER_DOMAIN = "cluster.local"
_DIR = "/etc/kubernetes"
_PKI = f"{_DIR}/pki"
_SECRET = 0o600
_MASTERS = "system:masters"
_CONTROLLER_ARGS = "--node-monitor-grace-period=20s"
_LEASE_S = 20
"""A node renews its lease each quarter of this; one that has not for 20 s (the grace period) is not ready."""

_Client = Callable[..., KeyPair]


def node_name(name: str) -> str:
    """Return the name that Kubernetes knows a node by: kubelet writes host names small."""
    return name.lower()


def node_files(
    pki: CertificatePki, cluster: ClusterFacts, plan: NodePlan, manager: Member, keys: ClusterKeys
) -> Sequence[NodeFile]:
    """Return the files. The control plane's are for the manager alone: no worker has the authority's key."""
    files = _Files(pki, cluster, plan, manager, keys)
    files.add_node()
    if plan.role is NodeRole.MANAGER:
        files.add_control_plane()
    return (*files.made, *registry_files(cluster.options))


class _Files:
    """Collects one node's files in `made`."""

    def __init__(
        self, pki: CertificatePki, cluster: ClusterFacts, plan: NodePlan, manager: Member, keys: ClusterKeys
    ) -> None:
        self._pki = pki
        self._cluster = cluster
        self._options = cluster.options
        self._plan = plan
        self._name = node_name(plan.name)
        self._api = manager.address
        self._authority = keys.authority
        self._more = keys.more
        self.made: list[NodeFile] = []

    def add_node(self) -> None:
        """Add what each node has: kubelet, kube-proxy and the pod network's part."""
        self._env("node.env", _node_variables(self._name, self._plan.address, self._api, self._options))
        self._text("pki/ca.crt", self._authority.cert_pem)
        serving = self._pki.server(
            self._authority, name=self._name, names=[self._name], addresses=[self._plan.address, "127.0.0.1"]
        )
        self._pair("pki/kubelet", serving)
        client = self._client(f"system:node:{self._name}", "system:nodes")
        self._pair("pki/kubelet-client", client)
        self._kubeconfig("kubelet.conf", f"system:node:{self._name}", client)
        self._json("kubelet.yaml", _kubelet(self._options))
        self._kubeconfig_for("proxy.conf", "system:kube-proxy")
        self._json("kube-proxy.yaml", _kube_proxy(self._options))
        if self._options.network == NETWORK_FLANNEL:
            self._kubeconfig_for("flannel.conf", addons.FLANNEL_USER)
            self._json("flannel.json", _flannel(self._options))
            self.made.append(NodeFile("/etc/containerd/cni.template", _cni_template(self._plan.segment.mtu)))

    def add_control_plane(self) -> None:
        """Add what the one node has that serves the API: etcd, the kube- parts, DNS and the add-ons."""
        self._env("control-plane.env", {"CONTROLLER_MANAGER_ARGS": _CONTROLLER_ARGS})
        self._secret("pki/ca.key", self._authority.key_pem)
        self._add_etcd()
        self._add_api_server()
        self._kubeconfig_for("controller-manager.conf", "system:kube-controller-manager")
        self._kubeconfig_for("scheduler.conf", "system:kube-scheduler")
        self._kubeconfig_for("addons.conf", "carina:add-ons", _MASTERS)
        self._text("addons.yaml", addons.manifest(self._options, self._plan.address))
        self._kubeconfig_for("coredns.conf", addons.DNS_USER)
        self._text("Corefile", _corefile(self._plan.address).encode())
        self._kubeconfig_for("metrics-server.conf", addons.METRICS_USER)
        self._pair("pki/metrics-server", self._serving(addons.METRICS_HOST, self._plan.address))
        self._text("metrics-server.yaml", addons.metrics_manifest(self._plan.address, self._authority.cert_pem))
        self._kubeconfig_for("local-path.conf", addons.STORAGE_USER)
        self._json("local-path.json", addons.STORAGE_SETTINGS)
        self._text("local-path.yaml", addons.storage_manifest())
        self._json("local-path-helper-pod.yaml", addons.STORAGE_HELPER)

    def _add_etcd(self) -> None:
        authority = keys_of.authority_of(self._more, keys_of.ETCD_CA)
        self._text("pki/etcd/ca.crt", authority.cert_pem)
        for part in ("server", "peer"):
            names, addresses = [self._name, "localhost"], ["127.0.0.1"]
            self._pair(f"pki/etcd/{part}", self._pki.peer(authority, name=self._name, names=names, addresses=addresses))
        self._pair("pki/apiserver-etcd-client", self._pki.client(authority, name="kube-apiserver"))

    def _add_api_server(self) -> None:
        domain = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        names = [self._name, "localhost", *domain, f"{domain[-1]}.{CLUSTER_DOMAIN}"]
        published = filter(None, [self._plan.host.public_address])
        addresses = [self._plan.address, "127.0.0.1", self._options.api_address, *published]
        serving = self._pki.server(self._authority, name="kube-apiserver", names=names, addresses=addresses)
        self._pair("pki/apiserver", serving)
        self._pair("pki/apiserver-kubelet-client", self._client(addons.KUBELET_CLIENT))
        front_proxy = keys_of.authority_of(self._more, keys_of.FRONT_PROXY_CA)
        self._text("pki/front-proxy-ca.crt", front_proxy.cert_pem)
        self._pair("pki/front-proxy-client", self._pki.client(front_proxy, name="front-proxy-client"))
        self._text("pki/sa.pub", self._more[keys_of.SERVICE_ACCOUNT_PUBLIC])
        self._secret("pki/sa.key", self._more[keys_of.SERVICE_ACCOUNT_PRIVATE])
        self._secret("encryption.yaml", _dumped(_encryption(self._more[keys_of.ENCRYPTION])))

    def _client(self, name: str, *groups: str) -> KeyPair:
        return self._pki.client(self._authority, name=name, groups=groups)

    def _serving(self, name: str, address: str) -> KeyPair:
        return self._pki.server(self._authority, name=name, names=[name], addresses=[address])

    def _kubeconfig_for(self, path: str, user: str, *groups: str) -> None:
        self._kubeconfig(path, user, self._client(user, *groups))

    def _kubeconfig(self, path: str, user: str, client: KeyPair) -> None:
        server = f"https://{self._api}:{API_PORT}"
        self._secret(path, kubeconfig(self._cluster.name, user, server, Access(self._authority.cert_pem, client)))

    def _pair(self, path: str, pair: KeyPair) -> None:
        self._text(f"{path}.crt", pair.cert_pem)
        self._secret(f"{path}.key", pair.key_pem)

    def _env(self, path: str, variables: Mapping[str, str]) -> None:
        self._text(path, "".join(f'{name}="{value}"\n' for name, value in variables.items()).encode())

    def _json(self, path: str, settings: Mapping[str, Any]) -> None:
        self._text(path, _dumped(settings))

    def _secret(self, path: str, content: bytes) -> None:
        self.made.append(NodeFile(f"{_DIR}/{path}", content, _SECRET))

    def _text(self, path: str, content: bytes) -> None:
        self.made.append(NodeFile(f"{_DIR}/{path}", content))


def _dumped(settings: Mapping[str, Any]) -> bytes:
    """Return settings as JSON, which is YAML."""
    return json.dumps(settings, indent=2).encode() + b"\n"


def _node_variables(name: str, address: str, api: str, options: ClusterOptions) -> Mapping[str, str]:
    return {
        "NODE_NAME": name,
        "NODE_IP": address,
        "API_ADDRESS": api,
        "POD_CIDR": options.pod_subnet,
        "SERVICE_CIDR": options.service_subnet,
        "CLUSTER_DNS": options.dns_address,
    }


def _kubelet(options: ClusterOptions) -> Mapping[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{_PKI}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{_PKI}/kubelet.crt",
        "tlsPrivateKeyFile": f"{_PKI}/kubelet.key",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "clusterDNS": [options.dns_address],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": "/etc/resolv.conf",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "featureGates": {"KubeletInUserNamespace": True},
        "protectKernelDefaults": False,
        "oomScoreAdj": 0,
        # Nodes share their host's disk: how full that is, is for the host to watch.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "0%",
            "imagefs.available": "0%",
            "nodefs.inodesFree": "0%",
        },
        "rotateCertificates": False,
        "serializeImagePulls": False,
        "nodeStatusUpdateFrequency": "10s",
        "nodeLeaseDurationSeconds": _LEASE_S,
        "shutdownGracePeriod": "0s",
    }


def _kube_proxy(options: ClusterOptions) -> Mapping[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": f"{_DIR}/proxy.conf"},
        "clusterCIDR": options.pod_subnet,
        # These are the host's to set; kube-proxy exits if it tries to and can't.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
            "udpTimeout": "0s",
            "udpStreamTimeout": "0s",
        },
        "iptables": {"localhostNodePorts": False},
        "nftables": {"minSyncPeriod": "100ms"},
        "metricsBindAddress": "127.0.0.1:10249",
    }


def _flannel(options: ClusterOptions) -> Mapping[str, Any]:
    """Return flannel's settings: plain routes between nodes of one segment, VXLAN towards any other."""
    return {
        "Network": options.pod_subnet,
        "EnableNFTables": True,
        "Backend": {"Type": "vxlan", "DirectRouting": True},
    }


def _cni_template(mtu: int) -> bytes:
    """Return what containerd makes a node's CNI configuration of, once the node has a range of pods."""
    ranges = [[{"subnet": "{{.PodCIDR}}"}]]
    ipam = {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]}
    return _dumped(
        {
            "cniVersion": "1.0.0",
            "name": "pod",
            "plugins": [
                {"type": "ptp", "mtu": mtu, "ipam": ipam},
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }
    )


def _encryption(key: bytes) -> Mapping[str, Any]:
    """Return how secrets rest in etcd; see https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/."""
    secretbox = {"keys": [{"name": "key1", "secret": base64.b64encode(key).decode("ascii")}]}
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": [{"secretbox": secretbox}, {"identity": {}}]}],
    }


def _corefile(address: str) -> str:
    return f"""\
.:53 {{
    bind {ipaddress.IPv4Address(address)}
    errors
    health 127.0.0.1:8181
    ready 127.0.0.1:8182
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {_DIR}/coredns.conf
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }}
    forward . /etc/resolv.conf
    cache 30
    loop
    reload
    loadbalance
}}
"""
