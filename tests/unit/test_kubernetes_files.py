import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from domain.clusters import kubernetes_type
from domain.facts import ClusterFacts
from domain.hosts import Host, HostState
from domain.nodes import Member, NodeFile, NodePlan, NodeRole, Segment, Stamp
from domain.options import ClusterOptions
from domain.secrets import ClusterKeys
from drivers.kubernetes_files import node_files
from drivers.kubernetes_keys import authority_of, keys
from drivers.pki import CertificatePki

PKI = CertificatePki()
KEYS = ClusterKeys(PKI.authority("Demo"), keys(PKI, "Demo"))
MANAGER = Member("n1", "Demo-1", NodeRole.MANAGER, "10.64.0.10")
WORKER = Member("n2", "Demo-2", NodeRole.WORKER, "10.64.0.11")
OPTIONS = ClusterOptions("flannel", "10.244.0.0/16", "10.245.0.0/16")
SEGMENT = Segment("c", "carn-br0", "10.64.0.0/24", "10.64.0.1", 1400)
DIR = "/etc/kubernetes"


def files(member: Member, options: ClusterOptions = OPTIONS) -> Mapping[str, NodeFile]:
    host = Host("h", "local", "local", "/var/lib/carina/host", HostState.READY, None, mtu=1400)
    stamp = Stamp("carn", "c", member.node_id, "image")
    names = (member.name, f"carn-{member.name}", member.role, member.address)
    plan = NodePlan(host, *names, 1_000_000, "carn-0n1", SEGMENT, stamp, "image")
    cluster = ClusterFacts("c", "Demo", kubernetes_type(20, "1.35.4"), SEGMENT, options)
    made = node_files(PKI, cluster, plan, MANAGER, KEYS)
    assert len({file.path for file in made}) == len(made)
    return {file.path: file for file in made}


@pytest.fixture(scope="module")
def control_plane() -> Mapping[str, NodeFile]:
    return files(MANAGER)


@pytest.fixture(scope="module")
def worker() -> Mapping[str, NodeFile]:
    return files(WORKER)


def certificate(found: Mapping[str, NodeFile], path: str) -> x509.Certificate:
    """Return a certificate that stands beside its key."""
    made = x509.load_pem_x509_certificate(found[f"{DIR}/{path}.crt"].content)
    key = serialization.load_pem_private_key(found[f"{DIR}/{path}.key"].content, None)
    assert key.public_key() == made.public_key()
    return made


def subject(made: x509.Certificate) -> tuple[str, list[str]]:
    name = made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    return str(name), [str(item.value) for item in made.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]


def is_signed_by(made: x509.Certificate, ca_pem: bytes) -> bool:
    try:
        made.verify_directly_issued_by(x509.load_pem_x509_certificate(ca_pem))
    except Exception:  # noqa: BLE001 - whatever the library raises, it is not
        return False
    return True


def config(found: Mapping[str, NodeFile], name: str) -> Any:
    return yaml.safe_load(found[f"{DIR}/{name}"].content)


def client_of(found: Mapping[str, NodeFile], name: str) -> x509.Certificate:
    user = config(found, name)["users"][0]["user"]
    return x509.load_pem_x509_certificate(base64.b64decode(user["client-certificate-data"]))


def test_no_worker_gets_what_only_the_control_plane_needs(worker: Mapping[str, NodeFile]) -> None:
    secret = [KEYS.authority.key_pem, *(value for name, value in KEYS.more.items() if name != "service-accounts.pub")]
    for file in worker.values():
        assert not any(value in file.content for value in secret), file.path
    assert f"{DIR}/control-plane.env" not in worker
    assert f"{DIR}/addons.conf" not in worker


def test_what_holds_a_key_is_for_root_alone(control_plane: Mapping[str, NodeFile]) -> None:
    for file in control_plane.values():
        holds = any(word in file.content for word in (b"PRIVATE KEY", b"client-key-data", b"secretbox"))
        assert file.mode == (0o600 if holds else 0o644), file.path


@pytest.mark.parametrize("member", [MANAGER, WORKER])
def test_a_kubelet_is_itself_and_no_other(member: Member) -> None:
    found = files(member)
    name = member.name.lower()
    for made in (certificate(found, "pki/kubelet-client"), client_of(found, "kubelet.conf")):
        assert subject(made) == (f"system:node:{name}", ["system:nodes"])
        assert is_signed_by(made, KEYS.authority.cert_pem)
    serving = certificate(found, "pki/kubelet")
    names = serving.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert str(names.get_values_for_type(x509.IPAddress)[0]) == member.address
    assert f'NODE_NAME="{name}"\nNODE_IP="{member.address}"\nAPI_ADDRESS="10.64.0.10"' in text(found, "node.env")


def text(found: Mapping[str, NodeFile], name: str) -> str:
    return found[f"{DIR}/{name}"].content.decode()


def test_every_part_asks_the_api_as_who_it_is(control_plane: Mapping[str, NodeFile]) -> None:
    users = {
        "controller-manager.conf": ("system:kube-controller-manager", []),
        "scheduler.conf": ("system:kube-scheduler", []),
        "proxy.conf": ("system:kube-proxy", []),
        "flannel.conf": ("system:flannel", []),
        "coredns.conf": ("system:coredns", []),
        "metrics-server.conf": ("system:metrics-server", []),
        "local-path.conf": ("system:local-path-provisioner", []),
        "addons.conf": ("carina:add-ons", ["system:masters"]),
    }
    assert {name: subject(client_of(control_plane, name)) for name in users} == users
    for name in users:
        assert config(control_plane, name)["clusters"][0]["cluster"]["server"] == "https://10.64.0.10:6443"


def test_the_api_server_is_known_by_every_name_that_it_is_asked_by(control_plane: Mapping[str, NodeFile]) -> None:
    made = certificate(control_plane, "pki/apiserver")
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(item) for item in names.get_values_for_type(x509.IPAddress)} == {
        "10.64.0.10",
        "127.0.0.1",
        "10.245.0.1",
    }
    assert "kubernetes.default.svc.cluster.local" in names.get_values_for_type(x509.DNSName)


def test_etcd_and_the_front_proxy_trust_authorities_of_their_own(control_plane: Mapping[str, NodeFile]) -> None:
    etcd = authority_of(KEYS.more, "etcd-ca").cert_pem
    for path in ("pki/etcd/server", "pki/etcd/peer", "pki/apiserver-etcd-client"):
        assert is_signed_by(certificate(control_plane, path), etcd)
        assert not is_signed_by(certificate(control_plane, path), KEYS.authority.cert_pem)
    usages = certificate(control_plane, "pki/etcd/peer").extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usages) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert is_signed_by(
        certificate(control_plane, "pki/front-proxy-client"), authority_of(KEYS.more, "front-proxy-ca").cert_pem
    )
    assert control_plane[f"{DIR}/pki/etcd/ca.crt"].content == etcd


def test_anonymous_requests_to_a_kubelet_are_refused(worker: Mapping[str, NodeFile]) -> None:
    settings = config(worker, "kubelet.yaml")
    assert settings["authentication"]["anonymous"] == {"enabled": False}
    assert settings["authorization"] == {"mode": "Webhook"}
    assert settings["clusterDNS"] == ["10.245.0.10"]


def test_secrets_rest_encrypted_first_of_all(control_plane: Mapping[str, NodeFile]) -> None:
    resources = config(control_plane, "encryption.yaml")["resources"]
    assert resources[0]["resources"] == ["secrets"]
    first = resources[0]["providers"][0]["secretbox"]["keys"][0]["secret"]
    assert base64.b64decode(first) == KEYS.more["encryption.key"]
    assert len(base64.b64decode(first)) == 32


def test_pods_send_no_packets_larger_than_the_segment_carries(worker: Mapping[str, NodeFile]) -> None:
    template = json.loads(worker["/etc/containerd/cni.template"].content)
    assert template["plugins"][0]["mtu"] == 1400


def test_without_a_network_there_is_room_for_ones_own() -> None:
    found = files(MANAGER, ClusterOptions("none", "10.244.0.0/16", "10.245.0.0/16"))
    assert not [path for path in found if "flannel" in path or "cni" in path]
    assert f"{DIR}/kube-proxy.yaml" in found
    marks = [item for item in config(found, "addons.yaml")["items"] if item["kind"] == "ConfigMap"]
    assert marks[0]["data"]["network"] == "none"


def test_add_ons_bind_people_to_their_group_and_end_with_the_mark(control_plane: Mapping[str, NodeFile]) -> None:
    items = config(control_plane, "addons.yaml")["items"]
    admins = next(item for item in items if item["metadata"]["name"] == "carina:admins")
    assert admins["roleRef"]["name"] == "cluster-admin"
    assert admins["subjects"] == [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "carina:admins"}]
    assert items[-1]["kind"] == "ConfigMap"
    dns = next(item for item in items if item["kind"] == "Service")
    assert dns["spec"]["clusterIP"] == "10.245.0.10"
    assert not [item for item in items if item["kind"] == "APIService"]


def test_registries_have_mirrors_and_may_be_without_tls() -> None:
    options = ClusterOptions(
        "flannel",
        "10.244.0.0/16",
        "10.245.0.0/16",
        registry_mirrors=(("docker.io", "https://10.0.0.5:5000"), ("quay.io", "http://10.0.0.6")),
        insecure_registries=("10.0.0.5:5000",),
    )
    found = files(WORKER, options)
    hosts = {path.split("/")[-2]: file.content.decode() for path, file in found.items() if "certs.d" in path}
    assert hosts == {
        "10.0.0.5:5000": 'server = "http://10.0.0.5:5000"\n',
        "docker.io": (
            'server = "https://registry-1.docker.io"\n\n[host."https://10.0.0.5:5000"]\n'
            '  capabilities = ["pull", "resolve"]\n  skip_verify = true\n'
        ),
        "quay.io": ('server = "https://quay.io"\n\n[host."http://10.0.0.6"]\n  capabilities = ["pull", "resolve"]\n'),
    }


def test_each_clusters_keys_are_its_own() -> None:
    other = keys(PKI, "Demo")
    assert set(other) == set(KEYS.more)
    assert not set(other.values()) & set(KEYS.more.values())
