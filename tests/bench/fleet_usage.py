"""What processes use of the machine, sampled while something else goes on."""

import asyncio
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.bench import memory

PERIOD_S = 1.0
_TICKS = os.sysconf("SC_CLK_TCK")
CLIENT = "this client"
MACHINE = "the whole machine"
OTHERS = "of it, others"


@dataclass(frozen=True)
class Cores:
    """Cores that were busy for somebody: in the mean, and in the busiest second."""

    mean: float
    most: float


class Usage:
    """Samples processes, each with all below it, by the name that the report gives it; and this process alone."""

    def __init__(self, roots: Mapping[str, int]) -> None:
        self._roots = dict(roots)
        self._samples: list[tuple[float, dict[str, float]]] = []

    async def sample(self) -> None:
        """Sample until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(PERIOD_S)

    def look(self) -> None:
        """Take one sample."""
        used = {name: _cpu_s(pids) for name, pids in self._pids().items()}
        self._samples.append((time.monotonic(), {**used, MACHINE: _machine_s()}))

    def since(self, began: float) -> dict[str, Cores]:
        """Return what was used since a moment of `time.monotonic`."""
        chosen = [sample for sample in self._samples if sample[0] >= began]
        ours = (*self._roots, CLIENT)
        found = {name: _cores([(at, used[name]) for at, used in chosen]) for name in (*ours, MACHINE)}
        others = [(at, used[MACHINE] - sum(used[name] for name in ours)) for at, used in chosen]
        return {**found, OTHERS: _cores(others)}

    def memory(self) -> dict[str, memory.Memory]:
        """Return what each holds now."""
        return {name: memory.of(pids) for name, pids in self._pids().items()}

    def _pids(self) -> dict[str, list[int]]:
        children: dict[int, list[int]] = {}
        for pid in memory.pids():
            if stat := _stat(pid):
                children.setdefault(int(stat[1]), []).append(pid)
        return {CLIENT: [os.getpid()]} | {name: _tree(root, children) for name, root in self._roots.items()}


def _cores(samples: Sequence[tuple[float, float]]) -> Cores:
    if len(samples) < 2:
        return Cores(0.0, 0.0)
    rates = [
        (used - before) / (at - earlier)
        for (earlier, before), (at, used) in pairwise(samples)
        if at - earlier > PERIOD_S / 2
    ]
    (first, before), (last, used) = samples[0], samples[-1]
    return Cores((used - before) / (last - first), max(rates, default=0.0))


def _tree(root: int, children: Mapping[int, Sequence[int]]) -> list[int]:
    """Return a process and all below it."""
    found = [root]
    for pid in found:
        found += children.get(pid, ())
    return found


def _cpu_s(pids: Iterable[int]) -> float:
    """Return the processor time of processes, and of children of theirs that have ended."""
    return sum(sum(map(int, stat[11:15])) for pid in pids if (stat := _stat(pid))) / _TICKS


def _stat(pid: int) -> list[str]:
    """Return the fields of proc_pid_stat(5) from the third, the state, on; none of one that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _machine_s() -> float:
    """Return the processor time of all that ran on the machine, without idling and waiting for disks."""
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / _TICKS
