"""A rack's network: a bridge of the test machine, where each host has an IPv4 address, masked beyond."""

import ipaddress
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from tests.rack.commands import run

MTU = 1500
_FIRST_HOST = 11


@dataclass(frozen=True)
class RackNetwork:
    """The network of the rack `token`, a /24. The test machine has its first address."""

    token: str
    subnet: ipaddress.IPv4Network

    @property
    def bridge(self) -> str:
        return f"{self.token}-br"

    @property
    def gateway(self) -> str:
        """The test machine's address."""
        return str(self.subnet.network_address + 1)

    def address(self, number: int) -> str:
        """Return the address of a host; the first is number 1."""
        return str(self.subnet.network_address + _FIRST_HOST - 1 + number)

    def hardware_address(self, number: int) -> str:
        """Return the MAC address of a host: its own, and, as a machine's, the same each time that it is switched on."""
        return "02:72:" + ":".join(f"{octet:02x}" for octet in ipaddress.IPv4Address(self.address(number)).packed)

    def port(self, number: int) -> str:
        """Return the bridge's port, an interface of the test machine, to which a host is plugged."""
        return f"{self.token}-{number}"

    def make(self) -> None:
        run("ip", "link", "add", self.bridge, "mtu", str(MTU), "type", "bridge")
        run("ip", "address", "add", f"{self.gateway}/{self.subnet.prefixlen}", "dev", self.bridge)
        run("ip", "link", "set", self.bridge, "up")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        run("nft", "-f", "-", stdin=self._rules())

    def _rules(self) -> str:
        return f"""
            table ip {self.token} {{
              chain out {{
                type nat hook postrouting priority srcnat;
                ip saddr {self.subnet} oifname != "{self.bridge}" masquerade
              }}
            }}
        """


def free_network(token: str) -> RackNetwork:
    """Return a network that no route of the machine touches."""
    routes = json.loads(run("ip", "-json", "-4", "route", "show", "table", "all"))
    taken = [ipaddress.ip_network(r["dst"], strict=False) for r in routes if r.get("dst", "default") != "default"]
    start = secrets.randbelow(256)
    for number in range(256):
        subnet = ipaddress.IPv4Network(f"192.168.{(start + number) % 256}.0/24")
        if not any(subnet.overlaps(other) for other in taken):
            return RackNetwork(token, subnet)
    raise AssertionError("no /24 in 192.168.0.0/16 is free")


def clear(token: str) -> None:
    """Remove all that a rack has in the machine's network, whatever is there of it."""
    for link in json.loads(run("ip", "-json", "link", "show")):
        if link["ifname"].startswith(f"{token}-"):
            run("ip", "link", "delete", link["ifname"], check=False)
    run("nft", "delete", "table", "ip", token, check=False)
