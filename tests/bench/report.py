"""The bench's tables."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from domain.operations import STEP_TITLES
from tests.bench.critical_path import BEFORE_FIRST, BETWEEN_STEPS, shares, totals
from tests.bench.memory import Memory
from tests.bench.sides import MILESTONES, Run

AIM = 1.3


def comparison(nodes: int, script: Sequence[Run], carina: Sequence[Run]) -> str:
    """Both sides' times, and how they compare: by their medians, and run by run."""
    ratio = _ratio(script, carina, lambda run: run.total_ms)
    pairs = sorted(theirs.total_ms / ours.total_ms for ours, theirs in zip(script, carina, strict=True))
    rows = [
        ["", "min", "median", "max"],
        ["shortest script", *_spread(script, lambda run: run.total_ms)],
        ["carina create --wait", *_spread(carina, lambda run: run.total_ms)],
        ["carina create --wait, then one more web container", *_spread(carina, lambda run: run.further_ms)],
    ]
    verdict = "within" if ratio <= AIM else "above"
    return (
        f"\n=== {_nodes(nodes)}, {len(script)} pairs of runs, ms until containers on the nodes have answered\n"
        f"{_table(rows)}\n"
        f"  ratio of the medians {ratio:.2f} ({verdict} the aim of {AIM}); "
        f"of the pairs {' '.join(f'{pair:.2f}' for pair in pairs)}; "
        f"with one more web container {_ratio(script, carina, lambda run: run.further_ms):.2f}"
    )


def _ratio(script: Sequence[Run], carina: Sequence[Run], time: Callable[[Run], float]) -> float:
    return median(map(time, carina)) / median(map(time, script))


def milestones(script: Sequence[Run], carina: Sequence[Run]) -> str:
    """When each side came past each milestone, at the median."""
    rows = [["reached at the median after, ms", "script", "carina"]]
    for name in MILESTONES:
        times = [_median_of(runs, lambda run, name=name: run.milestones.get(name)) for runs in (script, carina)]
        if any(time is not None for time in times):
            rows.append([name, *("" if time is None else f"{time:.0f}" for time in times)])
    return _table(rows)


def where_time_goes(carina: Sequence[Run], client_start_ms: float) -> str:
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
    answers = [run.milestones["answer"] - run.milestones["command ended"] for run in carina]
    add("one more web container's answer", median(answers))
    return _table(rows)


def memory(of: Mapping[str, Memory]) -> str:
    """What processes hold while nothing happens."""
    rows = [["idle memory, MiB", "PSS", "RSS", "processes"]]
    rows += [[name, f"{held.pss:.0f}", f"{held.rss:.0f}", str(held.processes)] for name, held in of.items()]
    return f"\n{_table(rows)}"


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def _spread(runs: Sequence[Run], time: Callable[[Run], float]) -> list[str]:
    times = [time(run) for run in runs]
    return [f"{time:.0f}" for time in (min(times), median(times), max(times))]


def _milestone(runs: Sequence[Run], name: str) -> float:
    return median(run.milestones[name] for run in runs)


def _median_of(runs: Sequence[Run], value: Callable[[Run], float | None]) -> float | None:
    found = [time for run in runs if (time := value(run)) is not None]
    return median(found) if found else None


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  "
        + "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
