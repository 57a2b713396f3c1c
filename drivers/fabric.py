"""Clusters' networks on a host: a bridge for each, and the instance's nftables table that keeps them apart.

What a bridge is for is written on the bridge itself, in its alias (`ip link set alias`), and the table is made anew
from those aliases, in one transaction, whenever a bridge comes or goes. So nothing can disagree with it: a table that
was flushed, or a call that was cut, is mended by the next call. Other tables are never touched.

The table's policy:

- nodes of one cluster reach each other;
- nothing opens a connection to a node but its cluster's nodes and the host itself;
- nodes open no connection to the host, on any of its addresses; they may ping it;
- what nodes send to the outside is accepted, and masqueraded as the host;
- a packet from a bridge has a source address of that bridge's subnet, or of its cluster's pods, or it is dropped.

With br_netfilter loaded (net.bridge.bridge-nf-call-iptables=1) frames between the ports of one bridge pass the forward
hook too, with the bridge as both input and output interface: hence the set `same`.
"""

import ipaddress
from collections.abc import Sequence

from domain.hosts import Host
from domain.instance import Instance
from domain.nodes import FoundSegment, Segment
from drivers.shell import Shells

_TIMEOUT_S = 30.0

_LOCK = """
set -euo pipefail
root=$1 prefix=$2 table=$3
if [ -d "$root" ]; then exec 9<"$root"; flock 9; fi
"""
"""One change at a time for each instance. The lock is on the directory itself, so there is no file to leave behind."""

_APPLY_TABLE = """
apply_table() {
  local path name mark cluster cidr pods bridges= same= own= subnets=
  for path in /sys/class/net/"$prefix"-br*; do
    [ -e "$path/bridge" ] || continue
    read -r mark cluster cidr pods < "$path/ifalias" || continue
    [ "$mark" = carina ] || continue
    name=${path##*/}
    bridges+="\\"$name\\", " same+="\\"$name\\" . \\"$name\\", " own+="\\"$name\\" . $cidr, " subnets+="$cidr, "
    [ -z "$pods" ] || own+="\\"$name\\" . $pods, "
  done
  if [ -z "$bridges" ]; then
    printf 'table inet %s\\ndelete table inet %s\\n' "$table" "$table" | nft -f -
    return
  fi
  nft -f - <<RULES
table inet $table
delete table inet $table
table inet $table {
  set bridges { type ifname; elements = { $bridges }; }
  set same { type ifname . ifname; elements = { $same }; }
  set own { type ifname . ipv4_addr; flags interval; elements = { $own }; }
  set subnets { type ipv4_addr; flags interval; elements = { $subnets }; }
  chain spoofed {
    type filter hook prerouting priority raw; policy accept;
    meta nfproto ipv4 iifname @bridges iifname . ip saddr != @own drop
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname != @bridges accept
    ct state established,related accept
    icmp type echo-request accept
    drop
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname . oifname @same accept
    oifname @bridges ct state established,related accept
    oifname @bridges drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr @subnets oifname != @bridges masquerade
  }
}
RULES
}
"""

_ENSURE = (
    'mkdir -p -m 0711 "$1" || exit 1\n'
    + _LOCK
    + _APPLY_TABLE
    + """
bridge=$4 stamp=$5 address=$6 mtu=$7 mac=$8
[ -e "/sys/class/net/$bridge" ] || ip link add "$bridge" type bridge
[ -e "/sys/class/net/$bridge/bridge" ] || { echo "$bridge is there and is no bridge" >&2; exit 1; }
# Nodes have IPv4 only; without this the kernel would give the bridge an address and announce it.
[ ! -e "/proc/sys/net/ipv6/conf/$bridge" ] || echo 1 > "/proc/sys/net/ipv6/conf/$bridge/disable_ipv6"
# A bridge without an address of its own takes that of a port, and a new one when that port goes: nodes would be
# talking to the old one.
ip link set "$bridge" alias "$stamp" mtu "$mtu" address "$mac" type bridge stp_state 0 forward_delay 0
apply_table
ip -o -4 address show dev "$bridge" | while read -r _ _ _ other _; do
  [ "$other" = "$address" ] || ip address delete "$other" dev "$bridge"
done
ip address replace "$address" dev "$bridge"
ip link set "$bridge" up
"""
)

_REMOVE = (
    _LOCK
    + _APPLY_TABLE
    + """
bridge=$4
case $bridge in "$prefix"-br*) ;; *) echo "$bridge is not of $prefix" >&2; exit 1 ;; esac
[ ! -e "/sys/class/net/$bridge/bridge" ] || ip link delete "$bridge"
apply_table
"""
)

_REMOVE_ALL = (
    _LOCK
    + """
for path in /sys/class/net/"$prefix"-br*; do
  [ ! -e "$path/bridge" ] || ip link delete "${path##*/}"
done
if command -v nft > /dev/null; then
  printf 'table inet %s\\ndelete table inet %s\\n' "$table" "$table" | nft -f -
fi
"""
)

_FOUND = """
set -euo pipefail
for path in /sys/class/net/"$1"-br*; do
  [ -e "$path/bridge" ] || continue
  # A bridge that went away meanwhile is one that is not found.
  alias=$(cat "$path/ifalias" 2> /dev/null) || continue
  printf '%s %s\\n' "${path##*/}" "$alias"
done
"""


class LinuxFabric:
    """Clusters' networks as bridges and nftables rules of the host's kernel. Implements the port `Fabric`."""

    def __init__(self, instance: Instance, shells: Shells) -> None:
        self._instance = instance
        self._shells = shells

    async def ensure_segment(self, host: Host, segment: Segment) -> None:
        """Make the bridge, its address and the firewall's rules for it. Raises `CommandFailed`."""
        prefix_length = ipaddress.IPv4Network(segment.cidr).prefixlen
        await self._shells(host).run(
            _ENSURE,
            args=(
                *self._scope(host),
                segment.bridge,
                f"carina {segment.cluster_id} {segment.cidr} {segment.pod_cidr}".rstrip(),
                f"{segment.gateway}/{prefix_length}",
                str(segment.mtu),
                hardware_address(segment.gateway),
            ),
            timeout_s=_TIMEOUT_S,
            what=f"Making the bridge {segment.bridge}",
        )

    async def remove_segment(self, host: Host, bridge: str) -> None:
        """Remove the bridge and the rules for it. None there is no error. Raises `CommandFailed`."""
        await self._shells(host).run(
            _REMOVE, args=(*self._scope(host), bridge), timeout_s=_TIMEOUT_S, what=f"Removing the bridge {bridge}"
        )

    async def found(self, host: Host) -> Sequence[FoundSegment]:
        """Return the bridges of this instance on the host; a half-made one has no cluster's id yet."""
        result = await self._shells(host).run(
            _FOUND, args=(self._instance.prefix,), timeout_s=_TIMEOUT_S, what="Listing bridges"
        )
        return [_found(line) for line in result.text.splitlines()]

    async def remove_all(self, host: Host) -> None:
        """Remove all the instance's bridges and its table, whatever they belong to. Raises `CommandFailed`."""
        await self._shells(host).run(
            _REMOVE_ALL, args=self._scope(host), timeout_s=_TIMEOUT_S, what="Removing all bridges"
        )

    def _scope(self, host: Host) -> tuple[str, str, str]:
        return host.root, self._instance.prefix, self._instance.nft_table


def hardware_address(gateway: str) -> str:
    """Return the MAC address of a bridge, locally administered (IEEE 802): made of its IPv4 address, so it stays."""
    return "02:ca:" + ":".join(f"{octet:02x}" for octet in ipaddress.IPv4Address(gateway).packed)


def _found(line: str) -> FoundSegment:
    match line.split():
        case [bridge, "carina", cluster_id, _, *_]:
            return FoundSegment(bridge, cluster_id)
        case [bridge, *_]:
            return FoundSegment(bridge, None)
        case _:
            raise ValueError(line)
