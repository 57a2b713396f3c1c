"""Pure choices of subnets, addresses, slots and uid ranges over a snapshot of what is taken."""

import ipaddress
from collections.abc import Collection, Iterable

from domain.errors import NoAddressLeft, NoRoom
from domain.hosts import Claim
from domain.overlays import NODE_POOL

UIDS_PER_NODE = 65536
UID_RANGES_PER_CLAIM = 1024
_FIRST_UID = 1_000_000_000
_LAST_UID = 4_000_000_000
_CLUSTER_PREFIX = 24
_INSTANCE_PREFIX = 16
_FIRST_NODE_OFFSET = 10


def first_free(taken: Collection[int], limit: int) -> int | None:
    """Return the lowest number from 0 below `limit` that is not in `taken`, or None."""
    return next((number for number in range(limit) if number not in taken), None)


def choose_slot(network: str, taken: Collection[int]) -> int:
    """Return the lowest free cluster slot in the instance's `network`; raise `NoAddressLeft` if it is full."""
    limit = 2 ** (_CLUSTER_PREFIX - ipaddress.IPv4Network(network).prefixlen)
    slot = first_free(taken, limit)
    if slot is None:
        raise NoAddressLeft(f"All {limit} subnets of {network} are taken by clusters.")
    return slot


def cluster_subnet(network: str, slot: int) -> str:
    """Return the subnet, a /24, of the cluster in `slot`."""
    base = ipaddress.IPv4Network(network).network_address + slot * 2 ** (32 - _CLUSTER_PREFIX)
    return f"{base}/{_CLUSTER_PREFIX}"


def gateway(subnet: str) -> str:
    """Return the host's own address on a cluster's subnet: the first."""
    return str(ipaddress.IPv4Network(subnet).network_address + 1)


def choose_indexes(taken: Collection[int], count: int) -> list[int]:
    """Return the `count` lowest node indexes from 1 that are not taken."""
    chosen: list[int] = []
    index = 1
    while len(chosen) < count:
        if index not in taken:
            chosen.append(index)
        index += 1
    return chosen


def node_address(subnet: str, index: int) -> str:
    """Return the address of the node with `index` (from 1); raise `NoAddressLeft` past the subnet's end."""
    network = ipaddress.IPv4Network(subnet)
    address = network.network_address + _FIRST_NODE_OFFSET + index - 1
    if address >= network.broadcast_address:
        raise NoAddressLeft(f"{subnet} has no address for a node {index}.")
    return str(address)


def choose_uid_slots(claim: Claim, taken: Collection[int], count: int) -> list[int]:
    """Return the `count` lowest free uid slots of a host; raise `NoRoom` if there are not so many."""
    free = [slot for slot in range(claim.uid_ranges) if slot not in taken][:count]
    if len(free) < count:
        raise NoRoom(f"The host has {len(free)} free uid ranges; {count} nodes were asked for.")
    return free


def uid_base(claim: Claim, slot: int) -> int:
    """Return the first host uid of the range in `slot`."""
    return claim.uid_first + slot * UIDS_PER_NODE


def choose_claim(
    networks_in_use: Iterable[str],
    uid_ranges_in_use: Iterable[tuple[int, int]],
    *,
    network: str | None = None,
    uid_ranges: int = UID_RANGES_PER_CLAIM,
) -> Claim:
    """Choose what an instance claims on a host, apart from what is in use there.

    `uid_ranges_in_use` are (first, count) pairs as in subuid(5). `network` asks for that network and no other.
    Raises `NoAddressLeft` where nothing is free, or the network asked for is in use.
    """
    used = [ipaddress.IPv4Network(item, strict=False) for item in networks_in_use]
    candidates = [ipaddress.IPv4Network(network)] if network else NODE_POOL.subnets(new_prefix=_INSTANCE_PREFIX)
    chosen = next((item for item in candidates if not any(item.overlaps(other) for other in used)), None)
    if chosen is None:
        raise NoAddressLeft(
            f"No network is free in {network or NODE_POOL}: the host's routes and other instances use it."
        )
    size = uid_ranges * UIDS_PER_NODE
    taken = sorted(uid_ranges_in_use)
    first = _FIRST_UID
    for start, count in taken:
        if first + size <= start:
            break
        first = max(first, start + count)
    if first + size > _LAST_UID:
        raise NoAddressLeft(f"No {size} uids in a row are free on the host (/etc/subuid).")
    return Claim(str(chosen), first, uid_ranges)
