"""Swarm nodes on hosts that publish ports: what their certificates say, and where their engines are asked."""

import pytest
from cryptography import x509

from domain.clusters import SWARM
from domain.facts import ClusterFacts
from domain.hosts import Endpoint, Host, HostState
from domain.nodes import Member, NodePlan, NodeRole, Segment, Stamp
from domain.options import ClusterOptions
from domain.secrets import Access, ClusterKeys
from drivers.docker_client import Engines
from drivers.pki import CertificatePki
from drivers.swarm import Swarm

PKI = CertificatePki()
AUTHORITY = PKI.authority("demo")
ACCESS = Access(AUTHORITY.cert_pem, PKI.client(AUTHORITY, name="demo"))
SEGMENT = Segment("c", "carn-br0", "10.64.0.0/24", "10.64.0.1", 1450)
DIRECT = Member("n1", "demo-1", NodeRole.MANAGER, "10.64.0.10")
PUBLISHED = Member("n1", "demo-1", NodeRole.MANAGER, "10.64.0.10", ("192.0.2.1", 20000))


def certified(address: str, fabric_address: str, endpoint: Endpoint) -> tuple[set[str], set[str]]:
    """Return the names and the IP addresses that a node's certificate carries."""
    host = Host("h", "rack1", address, "/", HostState.READY, endpoint=endpoint, fabric_address=fabric_address)
    stamp = Stamp("carn", "c", "n1", "image")
    plan = NodePlan(
        host, "demo-1", "carn-demo-1", NodeRole.MANAGER, "10.64.0.10", 1_000_000, "carn-0n1", SEGMENT, stamp, "image"
    )
    cluster = ClusterFacts("c", "demo", SWARM, SEGMENT, ClusterOptions())
    found = Swarm(PKI).node_files(cluster, plan, DIRECT, ClusterKeys(AUTHORITY, {}))
    pem = next(file.content for file in found if file.path.endswith("/cert.pem"))
    extensions = x509.load_pem_x509_certificate(pem).extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(item) for item in names.get_values_for_type(x509.IPAddress)}
    return set(names.get_values_for_type(x509.DNSName)), addresses


@pytest.mark.parametrize(
    ("address", "fabric_address", "endpoint", "more_names", "more_addresses"),
    [
        ("rack1.example", "192.0.2.1", Endpoint.PUBLISHED, set(), {"192.0.2.1"}),
        ("rack1.example", "", Endpoint.PUBLISHED, {"rack1.example"}, set()),
        ("2001:db8::1", "", Endpoint.PUBLISHED, set(), {"2001:db8::1"}),
        ("rack1.example", "192.0.2.1", Endpoint.DIRECT, set(), set()),
    ],
)
def test_a_certificate_carries_the_address_that_its_host_publishes_at(
    address: str, fabric_address: str, endpoint: Endpoint, more_names: set[str], more_addresses: set[str]
) -> None:
    names, addresses = certified(address, fabric_address, endpoint)
    assert names == {"demo-1", "carn-demo-1", "localhost"} | more_names
    assert addresses == {"10.64.0.10", "127.0.0.1"} | more_addresses


def test_people_are_told_the_published_port() -> None:
    swarm = Swarm(PKI)
    assert swarm.endpoint(DIRECT) == "tcp://10.64.0.10:2376"
    assert swarm.endpoint(PUBLISHED) == "tcp://192.0.2.1:20000"
    files = swarm.credentials("demo", swarm.endpoint(PUBLISHED), ACCESS)
    assert b"export DOCKER_HOST=tcp://192.0.2.1:20000\n" in files["docker.env"]


def test_engines_of_one_host_are_kept_apart_by_their_ports() -> None:
    other = Member("n2", "demo-2", NodeRole.WORKER, "10.64.0.11", ("192.0.2.1", 20001))
    with Engines(ACCESS) as engines:
        assert engines.at(PUBLISHED).base_url == "https://192.0.2.1:20000"
        assert engines.at(other).base_url == "https://192.0.2.1:20001"
        assert engines.at(DIRECT).base_url == "https://10.64.0.10:2376"
        assert engines.at(PUBLISHED) is engines.at(PUBLISHED)
