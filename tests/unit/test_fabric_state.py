"""What a host keeps of clusters' networks."""

from dataclasses import replace

import pytest

from domain.errors import HostNotReady
from domain.hosts import Claim, Endpoint, Host, TunnelEnd, TunnelPeer
from domain.nodes import Neighbour, Segment
from domain.publications import Protocol, Publication
from drivers.fabric_state import guarded_lines, publication_lines, segment_lines, tunnel_lines

SEGMENT = Segment("c1", "demo-br3", "10.64.3.0/24", "10.64.3.1", 1450, pod_cidr="10.244.0.0/16")
HOST = Host("h", "rack1", "192.0.2.1", "/srv", endpoint=Endpoint.PUBLISHED, fabric_address="192.0.2.1")


def test_a_segment_of_one_host_has_its_bridge_only() -> None:
    assert segment_lines(HOST, SEGMENT, []).decode().splitlines() == [
        "alias carina c1 10.64.3.0/24 10.244.0.0/16",
        "address 10.64.3.1/24",
        "mac 02:ca:0a:40:03:01",
        "mtu 1450",
    ]


def test_a_segment_of_several_names_who_is_where_in_the_same_order_each_time() -> None:
    neighbours = [Neighbour("10.64.3.100", "192.0.2.3"), Neighbour("10.64.3.11", "192.0.2.2")]
    lines = segment_lines(HOST, SEGMENT, neighbours)
    assert lines.decode().splitlines()[4:] == [
        f"vxlan {10 << 16 | 64 << 8 | 3} 192.0.2.1",
        "neighbour 10.64.3.11 02:ca:0a:40:03:0b 192.0.2.2",
        "neighbour 10.64.3.100 02:ca:0a:40:03:64 192.0.2.3",
    ]
    assert segment_lines(HOST, SEGMENT, neighbours[::-1]) == lines


def test_a_segment_says_what_network_nodes_have_and_whether_there_is_a_route_to_them() -> None:
    claimed = replace(HOST, claim=Claim("10.64.0.0/16", 1_000_000_000, 64))
    assert segment_lines(claimed, SEGMENT, []).decode().splitlines()[4:] == ["network 10.64.0.0/16"]
    direct = replace(HOST, endpoint=Endpoint.DIRECT)
    assert segment_lines(direct, SEGMENT, []).decode().splitlines()[4:] == ["direct"]
    assert segment_lines(replace(direct, address="local"), SEGMENT, []) == segment_lines(HOST, SEGMENT, [])


@pytest.mark.parametrize("address", ["", "rack2.example.net", "2001:db8::1"])
def test_a_neighbour_needs_a_host_that_can_be_reached(address: str) -> None:
    with pytest.raises(HostNotReady, match=r"10\.64\.3\.11"):
        segment_lines(HOST, SEGMENT, [Neighbour("10.64.3.11", address)])


def test_publications_stand_a_line_each_in_the_same_order() -> None:
    web, dns = Publication(80, "10.64.3.10", 30080), Publication(53, "10.64.3.11", 5353, Protocol.UDP)
    assert publication_lines([dns, web]) == publication_lines([web, dns])
    assert publication_lines([dns, web]) == b"tcp 80 10.64.3.10 30080\nudp 53 10.64.3.11 5353\n"
    assert publication_lines([]) == b""


def test_guarded_networks_are_those_of_ipv4_once_each() -> None:
    assert guarded_lines(["192.0.2.7/24", "192.0.2.0/24", "198.51.100.9", "2001:db8::/32"]) == (
        b"192.0.2.0/24\n198.51.100.9/32\n"
    )


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="management"):
        guarded_lines(["management"])


def test_a_tunnel_has_room_for_the_hosts_packets_and_names_its_other_ends_in_the_same_order_each_time() -> None:
    peers = [TunnelPeer("192.0.2.10", TunnelEnd(51821, "b=")), TunnelPeer("192.0.2.9", TunnelEnd(51820, "a="))]
    lines = tunnel_lines(replace(HOST, mtu=1440), peers)
    assert lines.decode().splitlines() == ["mtu 1440", "192.0.2.9 51820 a=", "192.0.2.10 51821 b="]
    assert tunnel_lines(replace(HOST, mtu=1440), peers[::-1]) == lines
    assert tunnel_lines(HOST, []) == b"mtu 1500\n"
