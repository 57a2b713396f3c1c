"""The bench's tables."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from domain.operations import STEP_TITLES
from tests.bench.critical_path import BEFORE_FIRST, BETWEEN_STEPS, shares, totals
from tests.bench.kinds import Kind
from tests.bench.memory import Memory
from tests.bench.runs import Run


def comparison(kind: Kind, nodes: int, script: Sequence[Run], carina: Sequence[Run]) -> str:
    """Both sides' times, and how they compare: by their medians, and run by run."""
    ratio = _ratio(script, carina, lambda run: run.total_ms)
    pairs = sorted(theirs.total_ms / ours.total_ms for ours, theirs in zip(script, carina, strict=True))
    rows = [
        ["", "min", "median", "max"],
        ["shortest script", *_spread(script, lambda run: run.total_ms)],
        ["carina create --wait", *_spread(carina, lambda run: run.total_ms)],
        [f"carina create --wait, then {kind.more}", *_spread(carina, lambda run: run.further_ms)],
    ]
    return (
        f"\n=== {kind.coe}, {_nodes(nodes)}, {len(script)} pairs of runs,"
        f" ms until containers on the nodes have answered\n{table(rows)}\n"
        f"  ratio of the medians {ratio:.2f} ({_verdict(ratio, kind.aim)} of {kind.aim}); "
        f"of the pairs {' '.join(f'{pair:.2f}' for pair in pairs)}; "
        f"with {kind.more} {_ratio(script, carina, lambda run: run.further_ms):.2f}"
    )


def joins(kind: Kind, script: Sequence[Run], carina: Sequence[Run]) -> str:
    """How long a worker took to be ready, where one was added; nothing where none was."""
    theirs, ours = ([run.ready_ms for run in runs if run.ready_ms is not None] for runs in (script, carina))
    if not theirs or not ours or kind.join_aim_ms is None:
        return ""
    grown = [run.grown_ms for run in carina if run.grown_ms is not None]
    rows = [
        ["one more node, ms from the request", "min", "median", "max"],
        ["shortest script, until it is Ready", *_three(theirs)],
        ["carina grow --by 1, until it is Ready", *_three(ours)],
        ["carina grow --by 1 --wait, until its pods are proved too", *_three(grown)],
    ]
    return (
        f"\n{table(rows)}\n  ratio of the medians {median(ours) / median(theirs):.2f};"
        f" {median(ours):.0f} ms is {_verdict(median(ours), kind.join_aim_ms)} of {kind.join_aim_ms:.0f} ms\n"
    )


def _verdict(found: float, aim: float) -> str:
    return "within the aim" if found <= aim else "above the aim"


def _ratio(script: Sequence[Run], carina: Sequence[Run], time: Callable[[Run], float]) -> float:
    return median(map(time, carina)) / median(map(time, script))


def milestones(kind: Kind, script: Sequence[Run], carina: Sequence[Run]) -> str:
    """When each side came past each milestone, at the median."""
    rows = [["reached at the median after, ms", "script", "carina"]]
    for name in kind.milestones:
        times = [_median_of(runs, lambda run, name=name: run.milestones.get(name)) for runs in (script, carina)]
        if any(time is not None for time in times):
            rows.append([name, *("" if time is None else f"{time:.0f}" for time in times)])
    return table(rows)


def where_time_goes(kind: Kind, carina: Sequence[Run], client_start_ms: float) -> str:
    """Carina's time on its critical path, at the median, and all of each step's time beside it."""
    on_path = [shares(run.operation) for run in carina]
    of_steps = [totals(run.operation) for run in carina]
    rows = [["where carina's milliseconds go", "critical path", "all steps", "steps"]]

    def add(title: str, share: float, *more: str) -> None:
        rows.append([title, f"{share:.0f}", *more, *[""] * (2 - len(more))])

    add(
        f"client starts ({client_start_ms:.0f} of it is its start), API accepts", _milestone(carina, "request accepted")
    )
    add(BEFORE_FIRST, median(part[BEFORE_FIRST] for part in on_path))
    for name in of_steps[0]:
        count, took = (median(step.get(name, (0, 0.0))[place] for step in of_steps) for place in (0, 1))
        share = median(part.get(name, 0.0) for part in on_path)
        add(f"{STEP_TITLES[name]} ({name})", share, f"{took:.0f}", f"{count:.0f}")
    add(BETWEEN_STEPS, median(part[BETWEEN_STEPS] for part in on_path))
    late = [run.milestones["command ended"] - run.milestones["operation ended"] for run in carina]
    add("operation's end until the client has ended", median(late))
    add(f"answers of {kind.more}", median(run.further_ms - run.total_ms for run in carina))
    return table(rows)


def memory(of: Mapping[str, Memory]) -> str:
    """What processes hold while nothing happens."""
    rows = [["memory when nothing happens, MiB", "PSS", "RSS", "processes"]]
    rows += [[name, f"{held.pss:.0f}", f"{held.rss:.0f}", str(held.processes)] for name, held in of.items()]
    return f"\n{table(rows)}"


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def _spread(runs: Sequence[Run], time: Callable[[Run], float]) -> list[str]:
    return _three([time(run) for run in runs])


def _three(times: Sequence[float]) -> list[str]:
    return [f"{time:.0f}" for time in (min(times), median(times), max(times))]


def _milestone(runs: Sequence[Run], name: str) -> float:
    return median(run.milestones[name] for run in runs)


def _median_of(runs: Sequence[Run], value: Callable[[Run], float | None]) -> float | None:
    found = [time for run in runs if (time := value(run)) is not None]
    return median(found) if found else None


def table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  "
        + "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
