"""The fleet's tables."""

import os
from collections.abc import Mapping, Sequence
from statistics import median, quantiles

from tests.bench.critical_path import BEFORE_FIRST, BETWEEN_STEPS, shares
from tests.bench.fleet_load import Level
from tests.bench.fleet_usage import MACHINE, OTHERS
from tests.bench.fleet_waits import BESIDE, FLOOR_S, PER_CREATE
from tests.bench.memory import Memory
from tests.bench.overlap import Stretch, most_at_once, span, sum_of
from tests.bench.report import table
from tests.bench.runs import Json, moment
from worker.temporal_worker import MAX_ACTIVITIES

BUSY = 0.9
"""The share of what there is from which on something counts as used up."""
_SINGLE = frozenset({"API", "worker"})
"""Processes in which Python runs on one core at a time."""


def throughput(levels: Sequence[Level]) -> str:
    """How many came about, and how long each took."""
    rows = [
        [
            "creates at once",
            "done",
            "failed",
            "unfinished",
            "clusters/min",
            "accepted, p95 ms",
            "p50 s",
            "p95 s",
            "driver's waits s",
            "overhead, p50 s",
        ]
    ]
    for level in levels:
        half, most = _p50_p95(level.times_s)
        rows.append(
            [
                f"{level.at_once}",
                f"{len(level.times_s)}",
                f"{len(level.failures)}",
                f"{level.unfinished}",
                f"{level.per_minute:.0f}",
                f"{1000 * _p50_p95(level.accepted_s)[1]:.0f}",
                f"{half:.2f}",
                f"{most:.2f}",
                f"{FLOOR_S:.2f}",
                f"{half - FLOOR_S:.2f}" if level.times_s else "",
            ]
        )
    return table(rows)


def where_time_goes(levels: Sequence[Level]) -> str:
    """What a create's critical path is made of, at the median of each level."""
    chosen = [level for level in levels if level.operations]
    rows = [["critical path of a create, s, medians at", *(f"{level.at_once}" for level in chosen)]]
    parts = [[_parts(operation) for operation in level.operations] for level in chosen]
    rows += (
        [[name, *(f"{median(part[name] for part in of_level):.2f}" for of_level in parts)] for name in parts[0][0]]
        if parts
        else []
    )
    return table(rows)


def _parts(operation: Json) -> dict[str, float]:
    path = {name: took_ms / 1000 for name, took_ms in shares(operation).items()}
    before, between = path.pop(BEFORE_FIRST), path.pop(BETWEEN_STEPS)
    per_step = {**BESIDE, **PER_CREATE}
    waits = sum(per_step.get(name, 0.0) for name in path)
    return {
        BEFORE_FIRST: before,
        "the driver's waits": waits,
        "steps, beside these: database, certificates, processor": sum(path.values()) - waits,
        f"{BETWEEN_STEPS}, a place among the worker's {MAX_ACTIVITIES} steps": between,
    }


def usage(levels: Mapping[str, Level]) -> str:
    """How many cores each process kept busy, and how many steps went on at the same time."""
    names = list(next(iter(levels.values())).usage)
    rows = [["cores busy, mean (busiest second)", *names, "steps at once, mean (most)"]]
    for title, level in levels.items():
        cores = [f"{level.usage[name].mean:.2f} ({level.usage[name].most:.2f})" for name in names]
        mean, most = _steps_at_once(level)
        rows.append([title, *cores, f"{mean:.0f} ({most})"])
    return table(rows)


def saturation(title: str, level: Level) -> str:
    """Say what there is no more of."""
    found = [
        f"{name} keeps {level.usage[name].mean:.2f} cores busy, of the one that its Python can use"
        for name in level.usage
        if name in _SINGLE and level.usage[name].mean >= BUSY
    ]
    cores = os.cpu_count() or 1
    if level.usage[MACHINE].mean >= BUSY * cores:
        machine, others = level.usage[MACHINE].mean, level.usage[OTHERS].mean
        found.append(
            f"the machine's {cores} cores are busy ({machine:.2f}, of which {others:.2f} with what is not ours)"
        )
    mean, _ = _steps_at_once(level)
    if mean >= BUSY * MAX_ACTIVITIES:
        found.append(f"the worker's places for steps are taken ({mean:.0f} of {MAX_ACTIVITIES})")
    return f"  {title}: {'; '.join(found) or 'nothing is used up'}"


def memory(before: Mapping[str, Memory], after: Mapping[str, Memory]) -> str:
    """What processes hold without and with the fleet."""
    rows = [["memory, MiB", "PSS, empty", "RSS, empty", "PSS, with the fleet", "RSS, with the fleet"]]
    for name, held in after.items():
        empty = before[name]
        rows.append([name, *(f"{size:.0f}" for size in (empty.pss, empty.rss, held.pss, held.rss))])
    return table(rows)


def sizes(of: Mapping[str, Mapping[str, float]]) -> str:
    """How large the databases are, by moment."""
    names = list(next(iter(of.values())))
    rows = [["databases on disk, MiB", *names]]
    rows += [[moment_, *(f"{found[name]:.1f}" for name in names)] for moment_, found in of.items()]
    return table(rows)


def _steps_at_once(level: Level) -> tuple[float, int]:
    stretches: list[Stretch] = [
        (moment(step["started_at"]), moment(step["ended_at"]))
        for operation in level.operations
        for step in operation["steps"]
    ]
    return (sum_of(stretches) / span(stretches), most_at_once(stretches)) if stretches else (0.0, 0)


def _p50_p95(times: Sequence[float]) -> tuple[float, float]:
    if not times:
        return 0.0, 0.0
    if len(times) == 1:
        return times[0], times[0]
    cuts = quantiles(times, n=20, method="inclusive")
    return cuts[9], cuts[18]
