"""Judges a host's network from gathered facts: its address, its MTU, what else it routes, other firewalls. Pure."""

import ipaddress
import json
import re
from collections.abc import Sequence
from typing import Any

from domain.allocation import choose_claim
from domain.errors import NoAddressLeft
from domain.hosts import Check, CheckState
from domain.instance import Instance
from drivers.claims import networks_in_use, subid_range
from drivers.kernel_checks import Facts

OK, DEGRADED, MISSING = CheckState.OK, CheckState.DEGRADED, CheckState.MISSING
_USUAL_MTU = 1500
_LEAST_MTU = 1280
_LEGACY_REFUSAL = re.compile(r"^-P FORWARD DROP|-A FORWARD -j (DROP|REJECT)[^;]*;$")
_DROPPING = (
    "Nodes may reach neither the outside nor each other. (Carina's own table keeps clusters apart all the same.)"
)


def network_checks(facts: Facts, instance: Instance) -> list[Check]:
    """Return the lines about the network, in the order in which they are read."""
    return [_claim(facts, instance), _address(facts), _mtu(facts), _other_firewalls(facts, instance)]


def host_address(facts: Facts) -> str:
    """Return the IPv4 address with which the host speaks to others, empty if it can't be told.

    That is the source address of its default route, else the address to which the SSH connection came.
    """
    for route in sorted(_default_routes(facts), key=lambda route: int(route.get("metric", 0))):
        if route.get("prefsrc"):
            return str(route["prefsrc"])
        own = _addresses(facts, str(route.get("dev", "")))
        gateway = route.get("gateway")
        if gateway:
            near = [one for one in own if ipaddress.IPv4Address(gateway) in one.network]
            own = near or own
        if own:
            return str(own[0].ip)
    match facts.get("ssh", "").split():
        case [_, _, server, _] if ":" not in server:
            return server
        case _:
            return ""


def lowest_mtu(facts: Facts) -> int:
    """Return the lowest MTU, in bytes, of the interfaces that default routes lead through; 1500 without any.

    A host without a default route is measured by the interface that has its address.
    """
    devices = {route.get("dev") for route in _default_routes(facts)}
    if not devices and (address := host_address(facts)):
        devices = {
            link["ifname"]
            for link in _items(facts, "addresses")
            if address in {item.get("local") for item in link.get("addr_info", [])}
        }
    mtus = [int(link["mtu"]) for link in _items(facts, "links") if link.get("ifname") in devices]
    return min(mtus, default=_USUAL_MTU)


def _claim(facts: Facts, instance: Instance) -> Check:
    networks = networks_in_use(facts.get("routes", ""), facts.get("addresses", ""))
    if facts.get("claimed"):
        return _claimed(facts.get("claim.network", ""), networks, instance)
    ranges = [found for line in facts.get("subids", "").split() if (found := subid_range(line))]
    try:
        claim = choose_claim([network for network, _ in networks], ranges)
    except NoAddressLeft as error:
        return Check(
            "networks and uids",
            MISSING,
            error.detail,
            "Nodes need addresses and uids that nothing else on the host uses.",
            "Remove routes from 10.64.0.0/10, or lines from /etc/subuid and /etc/subgid, that nobody uses any more.",
        )
    return Check("networks and uids", OK, f"{claim.network} and {claim.uid_ranges} ranges of uids are free")


def _claimed(text: str, networks: list[tuple[str, str]], instance: Instance) -> Check:
    if not text:
        return Check("networks and uids", OK, "claimed by this instance")
    claimed = ipaddress.IPv4Network(text)
    strange = sorted(
        {
            f"{network} ({device})" if device else network
            for network, device in networks
            if claimed.overlaps(ipaddress.IPv4Network(network)) and not device.startswith(f"{instance.prefix}-")
        }
    )
    if not strange:
        return Check("networks and uids", OK, f"{text} is claimed by this instance")
    return Check(
        "networks and uids",
        DEGRADED,
        f"{text} is claimed by this instance, and also used by others: {', '.join(strange)}",
        "Nodes with addresses in there can't be reached, or can't reach what has the same address.",
        "ip route  # and give what came later another network",
    )


def _address(facts: Facts) -> Check:
    address = host_address(facts)
    if address:
        return Check("address", OK, address)
    return Check(
        "address",
        DEGRADED,
        "no default route with an IPv4 address",
        "Other hosts don't know where to send what is for nodes here.",
        "Name it when the host is added: --fabric-address ADDRESS",
    )


def _mtu(facts: Facts) -> Check:
    mtu = lowest_mtu(facts)
    if mtu >= _LEAST_MTU:
        return Check("MTU", OK, f"{mtu} bytes towards the outside")
    return Check(
        "MTU",
        DEGRADED,
        f"{mtu} bytes towards the outside; {_LEAST_MTU} is sensible",
        "The network between hosts and overlay networks take 50 bytes more of each packet, each.",
        "ip link set dev INTERFACE mtu 1500  # the interface of the default route",
    )


def _other_firewalls(facts: Facts, instance: Instance) -> Check:
    """Find forward chains that refuse by default. An accept in Carina's own table does not overrule them."""
    looked, *refusing = facts.get("forward.refusing", "").split(";")
    if not looked:
        return Check(
            "other firewalls", DEGRADED, "can't be looked at without nft", _DROPPING, "apt-get install nftables"
        )
    legacy = facts.get("legacy.forward", "")
    if _LEGACY_REFUSAL.search(legacy) and f"{instance.prefix}-br+" not in legacy:
        return Check(
            "other firewalls",
            DEGRADED,
            "forwarded packets are refused by default: iptables-legacy FORWARD",
            _DROPPING,
            "; ".join(f"iptables-legacy -I FORWARD {way} {instance.prefix}-br+ -j ACCEPT" for way in ("-i", "-o")),
        )
    if not refusing:
        return Check("other firewalls", OK, "no forward chain refuses by default")
    commands = [command for chain in refusing for command in _letting_through(chain, instance)]
    return Check(
        "other firewalls",
        DEGRADED,
        f"forwarded packets are refused by default: {', '.join(refusing)}",
        _DROPPING,
        "; ".join(commands),
    )


def _letting_through(chain: str, instance: Instance) -> Sequence[str]:
    if chain.startswith("inet firewalld "):  # its table is its own, and others may be refused to write to it
        return (
            f"firewall-cmd --permanent --zone=trusted --add-interface='{instance.prefix}-br+'",
            "firewall-cmd --reload",
        )
    return [
        f"nft insert rule {chain} {direction} '\"{instance.prefix}-br*\"' accept"
        for direction in ("iifname", "oifname")
    ]


def all_addresses(facts: Facts, instance: Instance) -> tuple[str, ...]:
    """Return the host's IPv4 addresses, but for that of the loopback interface and those of clusters' networks."""
    links = [link for link in _items(facts, "addresses") if link.get("ifname")]
    return tuple(
        str(item["local"])
        for link in links
        if link["ifname"] != "lo" and not link["ifname"].startswith(f"{instance.prefix}-")
        for item in link.get("addr_info", [])
        if item.get("family") == "inet"
    )


def _default_routes(facts: Facts) -> list[dict[str, Any]]:
    return [route for route in _items(facts, "routes") if route.get("dst") == "default"]


def _addresses(facts: Facts, device: str) -> list[ipaddress.IPv4Interface]:
    return [
        ipaddress.IPv4Interface(f"{item['local']}/{item['prefixlen']}")
        for link in _items(facts, "addresses")
        if link.get("ifname") == device
        for item in link.get("addr_info", [])
        if item.get("family") == "inet"
    ]


def _items(facts: Facts, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(facts.get(name) or "[]")
    return found
