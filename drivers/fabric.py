"""Clusters' networks on a host: a bridge for each, what joins it to other hosts, and the nftables table between them.

What a bridge is for is written on the bridge itself, in its alias (`ip link set alias`), and in a file that brings it
back after a reboot. The table is made anew from these, in one transaction, whenever something comes or goes. So
nothing can disagree with it: a table that was flushed, or a call that was cut, is mended by the next call. Other tables
are never touched.

A cluster that has nodes on several hosts has a VXLAN device (RFC 7348) at its bridge on each of them, with fixed
entries of who is where: it floods nothing, learns nothing, and answers by itself who has which address. Each host is
the gateway of its own nodes, at the same address.

The table's policy:

- nodes of one cluster reach each other, on whatever hosts they are;
- nothing else opens a connection to a node, but the host itself, who comes in at a published port of the host, and, on
  another host than Carina's own that is reached directly, whoever has a route, unless it is a node;
- nodes open no connection to the host, on any of its addresses, published ports included; they may ping it;
- nor to what the host carries beside them, such as containers of its own: what is behind bridges that are named as
  engines and hypervisors name them, unless a default route leads there, and what a port of the host leads to;
- nodes open no connection to guarded networks, but to ask the host's own resolvers for names;
- nodes send nothing by way of the outside to the network that nodes' addresses are of;
- nodes send no VXLAN to the outside, where it would be taken for their host's;
- what else nodes send to the outside is accepted, and masqueraded as the host;
- a packet from a bridge has a source address of that bridge's subnet, or of its cluster's pods, or it is dropped;
- VXLAN packets of a cluster are taken from hosts that carry its nodes, and from nobody else; from those that have
  WireGuard, as this one, out of a tunnel only.

With br_netfilter loaded (net.bridge.bridge-nf-call-iptables=1) frames between the ports of one bridge pass the forward
hook too, with the bridge as both input and output interface: hence the set `same`.
"""

from collections.abc import Sequence

from domain.hosts import Host, TunnelPeer
from domain.instance import Instance
from domain.nodes import FoundSegment, Neighbour, NodePlan, Segment
from domain.publications import Publication
from drivers.fabric_state import guarded_lines, publication_lines, segment_lines, tunnel_lines
from drivers.image_recipe import part, script
from drivers.shell import Result, Shells

_TIMEOUT_S = 30.0
_HEADERS_BYTES = 28
"""An IPv4 header and that of ICMP."""

_SCOPE = "root=$1 prefix=$2\n"


class LinuxFabric:
    """Clusters' networks as bridges, VXLAN devices and nftables rules of a host's kernel. Implements `Fabric`.

    Each call is one round trip to the host. All raise `CommandFailed`.
    """

    def __init__(self, instance: Instance, shells: Shells) -> None:
        self._instance = instance
        self._shells = shells

    async def ensure_segment(self, host: Host, segment: Segment, neighbours: Sequence[Neighbour] = ()) -> None:
        """Make the bridge, its address and the rules for it, and join it to other hosts; see `Fabric.ensure_segment`.

        What is right already is not touched, so that no packet is lost. Raises `HostNotReady` if there are neighbours
        and one of the hosts has no address in the fabric.
        """
        lines = segment_lines(host, segment, neighbours)
        await self._run(host, "segment_ensure", segment.bridge, stdin=lines, what=f"Making the bridge {segment.bridge}")

    async def remove_segment(self, host: Host, bridge: str) -> None:
        """Remove the bridge, what joins it to other hosts, and the rules for it. None there is no error."""
        await self._run(host, "segment_remove", bridge, what=f"Removing the bridge {bridge}")

    async def found(self, host: Host) -> Sequence[FoundSegment]:
        """Return the bridges of this instance on the host, and those that would come back with the next boot.

        A half-made one has no cluster's id yet.
        """
        result = await self._run(host, "fabric_found", what="Listing bridges")
        return [_found(line) for line in result.text.splitlines()]

    async def probe(self, plan: NodePlan, targets: Sequence[str]) -> Sequence[str]:
        """Ping addresses from a running node with packets of the segment's MTU that may not be fragmented.

        All at once, and each several times, within some seconds. Returns the addresses that did not answer.
        """
        if not targets:
            return ()
        result = await self._shells(plan.host).run(
            script("fabric_probe"),
            args=(plan.host.root, plan.container, str(plan.segment.mtu - _HEADERS_BYTES), *targets),
            timeout_s=_TIMEOUT_S,
            what=f"Probing the network of node {plan.name} ({plan.container})",
        )
        silent = set(result.text.split())
        return [target for target in targets if target in silent]

    async def ensure_publications(self, host: Host, publications: Sequence[Publication]) -> None:
        """Let these ports of the host's own addresses lead to nodes on it, and no others.

        Connections through a port that is not among them any more end.
        """
        lines = publication_lines(publications)
        await self._run(host, "fabric_keep", "publications", stdin=lines, what=f"Publishing ports of {host.name}")

    async def ensure_rules(self, host: Host) -> bool:
        """Make the table anew if it has gone while there are bridges, as when all rules were flushed; say whether."""
        result = await self._run(host, "fabric_rules", what=f"Looking at the firewall of {host.name}")
        return bool(result.text.strip())

    async def ensure_guarded(self, host: Host, networks: Sequence[str]) -> None:
        """Keep the host's nodes from opening connections to these networks (CIDR); answers pass, and so does DNS."""
        lines = guarded_lines(networks)
        await self._run(host, "fabric_keep", "guarded", stdin=lines, what=f"Guarding networks from {host.name}'s nodes")

    async def ensure_tunnels(self, host: Host, peers: Sequence[TunnelPeer]) -> None:
        """Send clusters' packets to these hosts by WireGuard, take them from there only so, and from no other host so.

        The private key stays on the host; see `LinuxHosts.ensure_prepared`, which has it made.
        """
        lines = tunnel_lines(host, peers)
        await self._run(host, "wireguard_peers", stdin=lines, what=f"Setting WireGuard up on {host.name}")

    async def remove_all(self, host: Host) -> None:
        """Remove all the instance's bridges, its table and what is kept of them, whatever they belong to."""
        await self._run(host, "fabric_remove", what="Removing all bridges")

    async def _run(self, host: Host, name: str, *args: str, what: str, stdin: bytes = b"") -> Result:
        return await self._shells(host).run(
            fabric_script(name, _SCOPE),
            args=(host.root, self._instance.prefix, *args),
            stdin=stdin,
            timeout_s=_TIMEOUT_S,
            what=what,
        )


def fabric_script(name: str, scope: str) -> str:
    """Return a script of drivers/scripts with what it needs before it; `scope` sets $root and $prefix."""
    return scope + script("fabric") + part("wireguard") + part(name)


def _found(line: str) -> FoundSegment:
    match line.split():
        case [bridge, "carina", cluster_id, _, *_]:
            return FoundSegment(bridge, cluster_id)
        case [bridge, *_]:
            return FoundSegment(bridge, None)
        case _:
            raise ValueError(line)
