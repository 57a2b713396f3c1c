"""Ports of the embedded Temporal servers on one machine: each instance keeps its own, also while it is stopped."""

import fcntl
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REGISTRY = Path("/etc/carina/ports")

Ports = tuple[int, int]
"""The port of the server, and that of its web UI."""

PREFERRED: Ports = (7233, 8233)


def claim_ports(prefix: str, home: Path, wanted: Ports, *, registry: Path = REGISTRY) -> Ports:
    """Return ports that are this instance's alone: `wanted` if nobody else has them, else free ones."""
    with _locked(registry):
        others = _claimed_by_others(prefix, registry)
        chosen = next((ports for ports in (wanted, PREFERRED) if _usable(ports, others)), None)
        while chosen is None:
            ports = _any_free()
            chosen = ports if _usable(ports, others) else None
        (registry / f"{prefix}.json").write_text(json.dumps({"home": str(home), "ports": chosen}))
    return chosen


def release_ports(prefix: str, *, registry: Path = REGISTRY) -> None:
    """Give back the instance's ports. None claimed is no error."""
    (registry / f"{prefix}.json").unlink(missing_ok=True)


@contextmanager
def _locked(registry: Path) -> Iterator[None]:
    registry.mkdir(parents=True, exist_ok=True)
    with (registry / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _claimed_by_others(prefix: str, registry: Path) -> set[int]:
    """Return the ports of other instances; the claim of one whose home is gone goes too."""
    claimed: set[int] = set()
    for file in registry.glob("*.json"):
        if file.stem == prefix:
            continue
        claim = json.loads(file.read_text())
        if (Path(claim["home"]) / "instance.json").exists():
            claimed.update(claim["ports"])
        else:
            file.unlink()
    return claimed


def _usable(ports: Ports, others: set[int]) -> bool:
    return not others.intersection(ports) and all(_is_free(port) for port in ports)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _any_free() -> Ports:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]
