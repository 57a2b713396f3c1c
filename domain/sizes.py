"""How much of a machine there is, and how much of it a node may have."""

from dataclasses import dataclass

from domain.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Size:
    """What a node may use, or what a host has: CPUs, memory and disk. As a node's size, 0 is no limit."""

    cpus: float = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0


LEAST_MEMORY_BYTES = 256 * 2**20
"""A node with less can't run its container engine."""

LEAST_DISK_BYTES = 2**30


def check_size(size: Size, *, field: str) -> Size:
    """Return `size` if nodes can live with it, else raise `InvalidInput`."""
    if size.cpus < 0 or size.memory_bytes < 0 or size.disk_bytes < 0:
        raise InvalidInput("A node's size has no negative numbers.", field=field, remedy="Use 0 for no limit.")
    if 0 < size.memory_bytes < LEAST_MEMORY_BYTES:
        raise InvalidInput(
            f"{size.memory_bytes} bytes of memory are too few for a node.",
            field=field,
            remedy=f"Give it {LEAST_MEMORY_BYTES} bytes or more, or 0 for no limit.",
        )
    if 0 < size.disk_bytes < LEAST_DISK_BYTES:
        raise InvalidInput(
            f"{size.disk_bytes} bytes of disk are too few for a node.",
            field=field,
            remedy=f"Give it {LEAST_DISK_BYTES} bytes or more, or 0 for no limit.",
        )
    return size
