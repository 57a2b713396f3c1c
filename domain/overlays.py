"""Overlay networks of a cluster: names, subnets, MTU."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import InvalidInput, NoAddressLeft, SubnetOverlaps

DEFAULT_OVERLAY = "carina"
VXLAN_OVERHEAD_BYTES = 50  # RFC 7348: outer Ethernet, IPv4, UDP and VXLAN headers
ESP_OVERHEAD_BYTES = 40  # AES-GCM in transport mode: header, IV, padding and ICV, rounded up
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
_LABEL = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
_SERVICE = re.compile(r"^([a-z](?:[a-z0-9-]{0,61}[a-z0-9])?):([1-9][0-9]{0,4})$")
_MAX_SERVICES = 16
_LAST_PORT = 65535
_RESERVED_NAMES = frozenset({"bridge", "host", "none", "ingress", "docker_gwbridge"})

OVERLAY_POOL = ipaddress.IPv4Network("10.48.0.0/12")
"""Overlay subnets that Carina chooses come from here: one /24 each."""
SWARM_POOL = ipaddress.IPv4Network("10.32.0.0/12")
"""Overlay subnets that Docker chooses (its ingress network among them) come from here."""
NODE_POOL = ipaddress.IPv4Network("10.64.0.0/10")
"""Node networks of instances come from here: one /16 each."""
_DOCKER_BRIDGES = (ipaddress.IPv4Network("172.17.0.0/16"), ipaddress.IPv4Network("172.18.0.0/16"))
_LONGEST_PREFIX = 28
_SHORTEST_PREFIX = 12


class OverlayState(StrEnum):
    """Where an overlay network is in its life."""

    PENDING = "pending"
    ACTIVE = "active"
    REMOVING = "removing"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Overlay:
    """An overlay network that spans a cluster's nodes. `mtu` is in bytes.

    On Kubernetes, one with a subnet is the pod network; one without is a namespace that is closed to all others but
    for its `services`, such as `web:80`: pods with the label app=web, on that port.
    """

    name: str
    subnet: str
    mtu: int
    attachable: bool = True
    encrypted: bool = False
    services: tuple[str, ...] = ()


def overlay_mtu(segment_mtu: int, *, encrypted: bool) -> int:
    """Return the largest MTU, in bytes, that fits into the segment once it is wrapped."""
    return segment_mtu - VXLAN_OVERHEAD_BYTES - (ESP_OVERHEAD_BYTES if encrypted else 0)


def could_name_overlay(name: str) -> bool:
    """Return whether an overlay network of some kind of cluster could have that name."""
    return _NAME.fullmatch(name) is not None


def check_namespace_name(name: str) -> str:
    """Return `name` if it can name a namespace of one's own on Kubernetes, else raise `InvalidInput`."""
    if not _LABEL.fullmatch(name):
        raise InvalidInput(
            f"{name!r} can't name a namespace.",
            field="name",
            remedy="Use 1 to 63 lower-case letters, digits and inner hyphens (RFC 1123).",
        )
    if name == "default" or name.startswith(("kube-", DEFAULT_OVERLAY)):
        raise InvalidInput(
            f"The name {name!r} is kept for Kubernetes and Carina.",
            field="name",
            remedy=f"Choose a name other than 'default' that begins with neither 'kube-' nor '{DEFAULT_OVERLAY}'.",
        )
    return name


def check_services(services: Sequence[str]) -> tuple[str, ...]:
    """Return what a namespace exposes, as `name:port`, if it can be, else raise `InvalidInput`.

    The name is that of a Service (RFC 1035): so each comes once.
    """
    if len(services) > _MAX_SERVICES:
        raise InvalidInput(
            f"A namespace exposes at most {_MAX_SERVICES} services, not {len(services)}.",
            field="services",
            remedy="Expose the others by network policies of your own.",
        )
    names: set[str] = set()
    for service in services:
        found = _SERVICE.fullmatch(service)
        if found is None or int(found[2]) > _LAST_PORT:
            raise InvalidInput(
                f"{service!r} is no service.",
                field="services",
                remedy="Write name:port, like web:80; the name has lower-case letters, digits and inner hyphens.",
            )
        if found[1] in names:
            raise InvalidInput(
                f"The service {found[1]!r} comes twice.", field="services", remedy="Give each service one port."
            )
        names.add(found[1])
    return tuple(services)


def check_overlay_name(name: str) -> str:
    """Return `name` if it can name an overlay network, else raise `InvalidInput`."""
    if not _NAME.fullmatch(name) or name in _RESERVED_NAMES:
        raise InvalidInput(
            f"{name!r} can't name an overlay network.",
            field="name",
            remedy="Use 1 to 63 letters, digits, '_', '.' and '-', and none of Docker's own names.",
        )
    return name


def check_subnet(subnet: str, node_network: str, taken: Iterable[str]) -> str:
    """Return `subnet` in its canonical form if an overlay network can have it.

    `node_network` is the instance's node network, `taken` the subnets of the cluster's other overlay networks.
    Raises `InvalidInput` where it is no IPv4 network of a sensible size, `SubnetOverlaps` where it overlaps.
    """
    try:
        network = ipaddress.IPv4Network(subnet)
    except ValueError as error:
        raise InvalidInput(
            f"{subnet!r} is no IPv4 network: {error}.", field="subnet", remedy="Write it like 10.48.7.0/24."
        ) from error
    if not _SHORTEST_PREFIX <= network.prefixlen <= _LONGEST_PREFIX or not network.is_private:
        raise InvalidInput(
            f"An overlay's subnet is a private network from /{_SHORTEST_PREFIX} to /{_LONGEST_PREFIX}, not {network}.",
            field="subnet",
            remedy="Choose a private network (RFC 1918) of such a size.",
        )
    in_use = {
        "the nodes' own network": [ipaddress.IPv4Network(node_network)],
        "Docker's bridges on the nodes": _DOCKER_BRIDGES,
        "the pool of networks that Docker chooses from": [SWARM_POOL],
        "another overlay network of the cluster": [ipaddress.IPv4Network(other) for other in taken],
    }
    for what, networks in in_use.items():
        for other in networks:
            if network.overlaps(other):
                raise SubnetOverlaps(f"{network} overlaps {other}, {what}.", field="subnet")
    return str(network)


def choose_subnet(taken: Iterable[str]) -> str:
    """Return the first /24 of `OVERLAY_POOL` that overlaps none of `taken`; raise `NoAddressLeft` if none does."""
    used = [ipaddress.IPv4Network(other) for other in taken]
    for candidate in OVERLAY_POOL.subnets(new_prefix=24):
        if not any(candidate.overlaps(other) for other in used):
            return str(candidate)
    raise NoAddressLeft(f"All of {OVERLAY_POOL} is taken by the cluster's overlay networks.")
