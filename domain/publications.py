"""Ports of hosts that lead to nodes: those of native APIs, and those that clusters' owners ask for."""

from dataclasses import dataclass
from enum import StrEnum

from domain.errors import InvalidInput, NoAddressLeft

FIRST_API_PORT = 20000
LAST_API_PORT = 24999
"""Native APIs are published at these ports: below the ephemeral ones (32768 and up) and NodePorts (30000 to 32767)."""

_RESERVED = frozenset({22, 4789})
"""SSH, by which Carina reaches the host, and VXLAN, by which hosts reach each other."""

FIRST_TUNNEL_PORT = 51820
LAST_TUNNEL_PORT = 51835
"""WireGuard's own port, and one for each further instance on a host."""

_LAST_PORT = 65535


class Protocol(StrEnum):
    """What a published port speaks."""

    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True)
class Publication:
    """A port of a host's address that leads to a port of a node."""

    host_port: int
    node_address: str
    node_port: int
    protocol: Protocol = Protocol.TCP


def check_port(port: int, *, field: str) -> int:
    """Return `port` if it is one (RFC 6335), else raise `InvalidInput`."""
    if not 1 <= port <= _LAST_PORT:
        raise InvalidInput(f"{port} is no port.", field=field, remedy=f"Choose one from 1 to {_LAST_PORT}.")
    return port


def check_host_port(port: int, *, field: str = "host_port") -> int:
    """Return `port` if people may ask for it on a host, else raise `InvalidInput`."""
    check_port(port, field=field)
    tunnels = FIRST_TUNNEL_PORT <= port <= LAST_TUNNEL_PORT
    if port in _RESERVED or tunnels or FIRST_API_PORT <= port <= LAST_API_PORT:
        raise InvalidInput(
            f"The port {port} of hosts is Carina's own.",
            field=field,
            remedy=f"Choose any but 22, 4789, {FIRST_API_PORT} to {LAST_API_PORT} "
            f"and {FIRST_TUNNEL_PORT} to {LAST_TUNNEL_PORT}.",
        )
    return port


def choose_api_port(taken: frozenset[int]) -> int:
    """Return the lowest port for a native API that is not in `taken`; raise `NoAddressLeft` if there is none."""
    for port in range(FIRST_API_PORT, LAST_API_PORT + 1):
        if port not in taken:
            return port
    raise NoAddressLeft(f"All ports from {FIRST_API_PORT} to {LAST_API_PORT} of the host are taken.")
