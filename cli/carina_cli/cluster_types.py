"""Which type of cluster the words of a person mean."""

from collections.abc import Sequence

from carina_cli.errors import UsageMistake
from carina_cli.shapes import ClusterType


def chosen(kinds: Sequence[ClusterType], wanted: str) -> ClusterType:
    """Return the active type that `wanted` means: its name, its orchestrator, or orchestrator and version.

    A version may be given in part: kubernetes-1.34 is the newest 1.34. Of several types the newest version is taken,
    then the highest id. Raises `UsageMistake` if there is none.
    """
    active = [kind for kind in kinds if kind["active"]]
    asked = wanted.lower()
    found = (
        [kind for kind in active if kind["name"].lower() == asked]
        or [kind for kind in active if kind["coe"].lower() == asked]
        or [kind for kind in active if asked in versioned(kind)]
    )
    if not found:
        known = ", ".join(f"{kind['coe']} (id {kind['id']}, {kind['name']})" for kind in active)
        raise UsageMistake(f"There is no cluster type {wanted!r}.", remedy=f"Choose one of: {known}.")
    return max(found, key=_newness)


def versioned(kind: ClusterType) -> list[str]:
    """Return the type's orchestrator with its version, from the shortest to the whole: x-1, x-1.2, x-1.2.3."""
    parts = kind["version"].lower().split(".") if kind.get("version") else []
    return [f"{kind['coe'].lower()}-{'.'.join(parts[: count + 1])}" for count in range(len(parts))]


def _newness(kind: ClusterType) -> tuple[list[int], int]:
    """Return what types are ordered by: versions by number, so that 1.10 is newer than 1.9."""
    parts = kind.get("version", "").split(".")
    return [int(part) if part.isdecimal() else -1 for part in parts], kind["id"]
