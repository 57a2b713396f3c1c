"""Memory of processes: PSS, which shares what is shared among those who share it, and RSS, which counts it for each."""

import json
from dataclasses import dataclass
from pathlib import Path

from tests.bench.place import Place

COMPONENTS = (
    "dockerd",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "containerd",
    "flanneld",
    "coredns",
    "metrics-server",
    "local-path-provisioner",
)
REST = "systemd and all else"

_MIB = 1024  # smaps_rollup(5) counts in KiB


@dataclass(frozen=True)
class Memory:
    """Sums over some processes, in MiB."""

    processes: int
    pss: float
    rss: float


def of(pids: list[int]) -> Memory:
    sums = {"Pss": 0, "Rss": 0}
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            key, _, rest = line.partition(":")
            if key in sums:
                sums[key] += int(rest.split()[0])
    return Memory(len(pids), sums["Pss"] / _MIB, sums["Rss"] / _MIB)


def of_service(place: Place) -> dict[str, Memory]:
    """The service's own process, and Temporal's server below it."""
    installation = place.installation
    port = json.loads((installation.home / "instance.json").read_text())["temporal_port"]
    temporal = [pid for pid in pids() if f"--port={port}" in arguments(pid) and "start-dev" in arguments(pid)]
    return {"carinad": of([installation.service_pid()]), "temporal": of(temporal)}


def of_node(container: str) -> Memory:
    """All processes of a node: those in its cgroups."""
    return of(_inside(container))


def by_component(container: str) -> dict[str, Memory]:
    """The processes of a node by what they are part of, largest first."""
    found: dict[str, list[int]] = {}
    for pid in _inside(container):
        program = Path(arguments(pid)[0]).name
        found.setdefault(program if program in COMPONENTS else REST, []).append(pid)
    parts = {name: of(members) for name, members in found.items()}
    return dict(sorted(parts.items(), key=lambda part: (part[0] == REST, -part[1].pss)))


def _inside(container: str) -> list[int]:
    return [pid for pid in pids() if f"/lxc.payload.{container}" in cgroups(pid)]


def pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def arguments(pid: int) -> list[str]:
    return _read(pid, "cmdline").split("\0")


def cgroups(pid: int) -> str:
    return _read(pid, "cgroup")


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:  # it has ended
        return ""
