"""The API of a Kubernetes cluster whose first node is on a host that publishes ports."""

import pytest
import yaml
from cryptography import x509

from domain.clusters import kubernetes_type
from domain.facts import ClusterFacts
from domain.hosts import Endpoint, Host, HostState
from domain.nodes import Member, NodePlan, NodeRole, Segment, Stamp
from domain.options import ClusterOptions
from domain.secrets import Access, ClusterKeys
from drivers.kubernetes import Kubernetes
from drivers.kubernetes_client import Api
from drivers.kubernetes_keys import keys
from drivers.pki import CertificatePki
from drivers.shell import shell_of

PKI = CertificatePki()
KEYS = ClusterKeys(PKI.authority("demo"), keys(PKI, "demo"))
SEGMENT = Segment("c", "carn-br0", "10.64.0.0/24", "10.64.0.1", 1450)
MANAGER = Member("n1", "demo-1", NodeRole.MANAGER, "10.64.0.10", ("192.0.2.1", 20000))
WORKER = Member("n2", "demo-2", NodeRole.WORKER, "10.64.0.11")
CLUSTER = ClusterFacts(
    "c", "demo", kubernetes_type(20, "1.35.4"), SEGMENT, ClusterOptions("flannel", "10.244.0.0/16", "10.245.0.0/16")
)


def files(member: Member, address: str, fabric_address: str) -> dict[str, bytes]:
    host = Host("h", "rack1", address, "/", HostState.READY, endpoint=Endpoint.PUBLISHED, fabric_address=fabric_address)
    names = (member.name, f"carn-{member.name}", member.role, member.address)
    plan = NodePlan(host, *names, 1_000_000, "carn-0n1", SEGMENT, Stamp("carn", "c", member.node_id, "i"), "i")
    made = Kubernetes(PKI, shell_of).node_files(CLUSTER, plan, MANAGER, KEYS)
    return {file.path.removeprefix("/etc/kubernetes/"): file.content for file in made}


def alternatives(pem: bytes) -> set[str]:
    extensions = x509.load_pem_x509_certificate(pem).extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}


@pytest.mark.parametrize(("fabric_address", "public"), [("192.0.2.1", "192.0.2.1"), ("", "rack1.example")])
def test_the_api_server_is_known_at_the_published_address(fabric_address: str, public: str) -> None:
    made = files(MANAGER, "rack1.example", fabric_address)
    assert {"10.64.0.10", "127.0.0.1", "10.245.0.1", public} <= alternatives(made["pki/apiserver.crt"])


def test_inside_the_cluster_the_api_stays_at_the_nodes_own_address() -> None:
    for member in (MANAGER, WORKER):
        made = files(member, "rack1.example", "192.0.2.1")
        assert b'API_ADDRESS="10.64.0.10"' in made["node.env"]
        server = yaml.safe_load(made["kubelet.conf"])["clusters"][0]["cluster"]["server"]
        assert server == "https://10.64.0.10:6443"


def test_people_and_the_control_plane_ask_at_the_published_port() -> None:
    kubernetes = Kubernetes(PKI, shell_of)
    access = Access(KEYS.authority.cert_pem, PKI.client(KEYS.authority, name="bob"))
    endpoint = kubernetes.endpoint(MANAGER)
    assert endpoint == "https://192.0.2.1:20000"
    config = yaml.safe_load(kubernetes.credentials("demo", endpoint, access)["kubectl.config"])
    assert config["clusters"][0]["cluster"]["server"] == endpoint
    with Api(MANAGER, access) as api:
        assert (api.host, api.port) == ("192.0.2.1", 20000)
    with Api(WORKER, access) as api:
        assert (api.host, api.port) == ("10.64.0.11", 6443)
