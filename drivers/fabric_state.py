"""What a host keeps of its part of clusters' networks, as lines of text. Pure; drivers/scripts/fabric.sh reads them."""

import ipaddress
from collections.abc import Iterable, Sequence

from domain.errors import HostNotReady
from domain.hosts import Endpoint, Host, TunnelPeer
from domain.nodes import Neighbour, Segment, hardware_address
from domain.publications import Publication


def segment_lines(host: Host, segment: Segment, neighbours: Sequence[Neighbour]) -> bytes:
    """Return what a segment is on a host: its bridge's settings, and, with neighbours, what joins it to other hosts.

    Raises `HostNotReady` if this host or that of a neighbour has no address in the fabric.
    """
    prefix_length = ipaddress.IPv4Network(segment.cidr).prefixlen
    lines = [
        f"alias carina {segment.cluster_id} {segment.cidr} {segment.pod_cidr}".rstrip(),
        f"address {segment.gateway}/{prefix_length}",
        f"mac {hardware_address(segment.gateway)}",
        f"mtu {segment.mtu}",
    ]
    if host.claim is not None:
        lines.append(f"network {ipaddress.IPv4Network(host.claim.network)}")
    if host.endpoint is Endpoint.DIRECT and not host.local:
        lines.append("direct")
    if neighbours:
        own = _fabric_address(host.fabric_address, f"{host.name}, which has nodes in {segment.cidr},")
        lines.append(f"vxlan {segment.vni} {own}")
    for neighbour in sorted(neighbours, key=lambda each: ipaddress.IPv4Address(each.address)):
        theirs = _fabric_address(neighbour.host_address, f"The host of the node {neighbour.address}")
        lines.append(f"neighbour {neighbour.address} {neighbour.hardware_address} {theirs}")
    return _text(lines)


def publication_lines(publications: Sequence[Publication]) -> bytes:
    """Return the ports that lead to nodes: protocol, port of the host, the node's address, its port."""
    return _text(
        sorted(
            f"{each.protocol} {each.host_port} {ipaddress.IPv4Address(each.node_address)} {each.node_port}"
            for each in publications
        )
    )


def guarded_lines(networks: Sequence[str]) -> bytes:
    """Return the networks, or single addresses, that nodes open no connections to. Nodes speak IPv4 only."""
    parsed = {ipaddress.ip_network(each, strict=False) for each in networks}
    ours = sorted(each for each in parsed if isinstance(each, ipaddress.IPv4Network))
    return _text(str(each) for each in ours)


def tunnel_lines(host: Host, peers: Sequence[TunnelPeer]) -> bytes:
    """Return the MTU of the tunnel to other hosts, and those: address in the fabric, port, public key."""
    ours = sorted(peers, key=lambda each: ipaddress.IPv4Address(each.address))
    return _text([f"mtu {host.mtu}", *(f"{each.address} {each.end.port} {each.end.public_key}" for each in ours)])


def _fabric_address(address: str, whose: str) -> str:
    try:
        return str(ipaddress.IPv4Address(address))
    except ValueError as error:
        raise HostNotReady(
            f"{whose} has no address at which other hosts reach it: {address or 'none is known'}.",
            remedy="Give the host an IPv4 address in the fabric: 'carina host add' takes it as --fabric-address.",
        ) from error


def _text(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
