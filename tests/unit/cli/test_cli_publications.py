"""What the commands about published ports send, write and return."""

import pytest
from cli_testbed import Carina
from fake_answers import DEMO_ID, problem
from fake_hosts import publication
from fake_service import FakeService

PATH = f"/clusters/{DEMO_ID}/publications"


@pytest.mark.parametrize(
    ("mapping", "body"),
    [
        ("8080:30080", {"host_port": 8080, "node_port": 30080, "protocol": "tcp"}),
        ("53:30053/udp", {"host_port": 53, "node_port": 30053, "protocol": "udp"}),
        ("53:30053/TCP", {"host_port": 53, "node_port": 30053, "protocol": "tcp"}),
    ],
)
def test_publish_sends_the_mapping_and_says_where_it_is(
    carina: Carina, service: FakeService, mapping: str, body: dict[str, object]
) -> None:
    ran = carina("publish", "demo", mapping)
    assert ran.code == 0, ran.err
    assert [request[3] for request in service.sent("POST", PATH)] == [body]
    port, protocol = body["host_port"], body["protocol"]
    assert ran.out.startswith(f"{port}/{protocol} leads to demo, port {body['node_port']}: 192.0.2.7:{port}, 192.0.2.8")


@pytest.mark.parametrize("mapping", ["80", "80:", ":80", "80:30080/icmp", "a:b", "80:30080:1"])
def test_what_is_no_mapping_is_not_sent(carina: Carina, service: FakeService, mapping: str) -> None:
    ran = carina("publish", "demo", mapping)
    assert ran.code == 2
    assert "Write it like 80:30080" in ran.err
    assert service.requests == []


def test_a_port_that_is_taken_is_a_conflict(carina: Carina, service: FakeService) -> None:
    service.failures["POST", PATH] = problem(409, "port-taken", "The port is published already")
    assert carina("publish", "demo", "80:30080").code == 4


def test_published_ports_are_listed(carina: Carina, service: FakeService) -> None:
    service.hosts.publications = [publication(), publication(53, 30053, "udp", addresses=[])]
    lines = [line.split() for line in carina("publications", "demo").out.splitlines()]
    assert lines[1][:4] == ["80/tcp", "30080", "192.0.2.7:80,", "192.0.2.8:80"]
    assert lines[2][:3] == ["53/udp", "30053", "-"]


@pytest.mark.parametrize(("port", "path"), [("80", "80/tcp"), ("53/udp", "53/udp")])
def test_unpublish_withdraws_the_port(carina: Carina, service: FakeService, port: str, path: str) -> None:
    service.hosts.publications = [publication(), publication(53, 30053, "udp")]
    ran = carina("unpublish", "demo", port)
    assert ran.out == f"{path} leads to demo no more, in 4.0 s\n"
    assert len(service.sent("DELETE", f"{PATH}/{path}")) == 1


def test_a_port_that_is_not_published_is_not_found(carina: Carina) -> None:
    assert carina("unpublish", "demo", "81").code == 3
    assert carina("unpublish", "demo", "80:30080").code == 2
