"""The tables of clusters over several hosts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import mean, median

from domain.operations import STEP_TITLES
from tests.bench.many_hosts_runs import HostsRun, Trip
from tests.bench.overlap import Stretch, most_at_once, span
from tests.bench.report import table
from tests.bench.runs import moment

AIM_PER_NODE = 3


def walls(nodes: int, found: Mapping[int, Sequence[HostsRun]]) -> str:
    """How long creates took, and how that compares to one host."""
    fewest = min(found)
    rows = [[f"{nodes} nodes over", "runs", "create, median s", "ratio", "until all have joined, median s", "ratio"]]
    base = _walls(found[fewest])
    for hosts, runs in found.items():
        total, joined = _walls(runs)
        ratios = (f"{total / base[0]:.2f}", f"{joined / base[1]:.2f}")
        rows.append([_hosts(hosts), f"{len(runs)}", f"{total:.2f}", ratios[0], f"{joined:.2f}", ratios[1]])
    return table(rows)


def steps(hosts: int, runs: Sequence[HostsRun]) -> str:
    """Each step, at the median of the runs. Steps that begin one after the other would show 1 at once."""
    rows = [[f"{_hosts(hosts)}: step", "times", "at once", "longest, ms", "first start to last end, ms", "serial"]]
    for name in dict.fromkeys(step["name"] for step in runs[0].operation["steps"]):
        of_runs = [stretches for run in runs if (stretches := _stretches(run, name))]
        if not of_runs:
            continue
        times = median(len(stretches) for stretches in of_runs)
        at_once = median(most_at_once(stretches) for stretches in of_runs)
        longest = median(max(ended - began for began, ended in stretches) for stretches in of_runs)
        whole = median(span(stretches) for stretches in of_runs)
        serial = "" if times < 2 else "yes" if at_once < 2 else "no"
        title = f"{STEP_TITLES[name]} ({name})"
        rows.append([title, f"{times:g}", f"{at_once:g}", f"{1000 * longest:.0f}", f"{1000 * whole:.0f}", serial])
    return table(rows)


def trips(nodes: int, found: Mapping[int, Sequence[HostsRun]]) -> str:
    """Scripts over SSH: for each node, for each host, and how far apart the hosts were asked for the same."""
    rows = [["SSH round trips of a create, median", *(_hosts(hosts) for hosts in found)]]
    kinds = dict.fromkeys(_kind(trip) for runs in found.values() for run in runs for trip in run.trips)
    for kind in kinds:
        counts = [median(_count(run, kind) for run in runs) for runs in found.values()]
        rows.append([kind, *(f"{count:g}" for count in counts)])
    whole = [median(len(run.trips) for run in runs) for runs in found.values()]
    rows.append(["all", *(f"{count:g}" for count in whole)])
    own = [mean(sum(trip.of_node for trip in run.trips) for run in runs) / nodes for runs in found.values()]
    rows.append(["for each node alone", *(f"{count:.2f}" for count in own)])
    shared = [count / nodes for count in whole]
    rows.append(["for each node, its share of its host's included", *(f"{count:.2f}" for count in shared)])
    rows += [
        [
            f"{kind}: ms between the first and the last host's",
            *(f"{_apart_ms(runs, kind):.0f}" for runs in found.values()),
        ]
        for kind in kinds
    ]
    verdict = "within the aim" if max(shared) <= AIM_PER_NODE else "above the aim"
    return f"{table(rows)}\n  {max(shared):.2f} round trips a node at most, {verdict} of {AIM_PER_NODE}"


def _apart_ms(runs: Sequence[HostsRun], kind: str) -> float:
    """Return the time between the first host's first script of that kind and the last host's first."""
    apart: list[float] = []
    for run in runs:
        first: dict[str, float] = {}
        for trip in run.trips:
            if _kind(trip) == kind:
                first.setdefault(trip.host, trip.at)
        if first:
            apart.append(1000 * (max(first.values()) - min(first.values())))
    return median(apart) if apart else 0.0


def _count(run: HostsRun, kind: str) -> int:
    return Counter(_kind(trip) for trip in run.trips)[kind]


def _kind(trip: Trip) -> str:
    """Return what a script did, without the names in it."""
    return " ".join(word for word in trip.what.split() if not any(letter.isdigit() for letter in word))


def _walls(runs: Sequence[HostsRun]) -> tuple[float, float]:
    return median(run.total_s for run in runs), median(run.joined_s for run in runs)


def _stretches(run: HostsRun, name: str) -> list[Stretch]:
    return [(moment(step["started_at"]), moment(step["ended_at"])) for step in run.steps(name)]


def _hosts(count: int) -> str:
    return "1 host" if count == 1 else f"{count} hosts"
