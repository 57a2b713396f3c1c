"""What one run of one side is, and when it came past which stage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = dict[str, Any]
Milestones = Mapping[str, tuple[str | None, str | None]]
"""What both sides come past, in the order in which people think of it: the script's mark, and Carina's step."""

FIRST = "first node ready"
"""The milestone that is reached with the first of its marks or steps; all others are with the last."""

ANSWER = "it works"


@dataclass
class Run:
    """One run of one side, in milliseconds: until containers on its nodes have answered each other, and more.

    The script's run ends with that answer. Carina's create ends when probes on all nodes have answered each other;
    `further_ms` is the time with web servers as the script runs them, and their answers, after that. `ready_ms` is the
    time of a grow by one from the request until the node was ready, where one was made, and `grown_ms` that of all the
    command.
    """

    total_ms: float
    further_ms: float
    milestones: dict[str, float]
    operation: Json = field(default_factory=dict)
    ready_ms: float | None = None
    grown_ms: float | None = None


def moment(text: str) -> float:
    """A time of the API, in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def marks(output: str) -> dict[str, list[float]]:
    """Return the times, in seconds since 1970, of the marks in a script's output."""
    found: dict[str, list[float]] = {}
    for line in output.splitlines():
        if line.startswith("mark "):
            _, name, microseconds = line.split()
            found.setdefault(name, []).append(int(microseconds) / 1e6)
    return found


def of_script(milestones: Milestones, output: str, began: float) -> dict[str, float]:
    """Return when the script came past each milestone, in milliseconds after `began`."""
    found = marks(output)
    return _since(began, {name: found[mark] for name, (mark, _) in milestones.items() if mark in found})


def of_carina(
    milestones: Milestones, operation: Json, began: float, ended: float, after: tuple[str, float]
) -> dict[str, float]:
    """Return when Carina came past each milestone, in milliseconds after `began`.

    Its command ended at `ended`; `after` is what the script printed after that, and how long, in seconds, it was kept
    waiting for things that are only asked for the report.
    """
    reached: dict[str, Sequence[float]] = {
        "request accepted": [moment(operation["created_at"])],
        "operation ended": [moment(operation["ended_at"])],
        "command ended": [ended],
    }
    answer, untimed_s = after
    found = marks(answer)
    for name, (mark, step_name) in milestones.items():
        ends = [moment(step["ended_at"]) for step in operation["steps"] if step["name"] == step_name]
        if ends:
            reached[name] = ends
        elif step_name is None and mark in found:
            reached[name] = [at - untimed_s for at in found[mark]]
    return _since(began, {name: reached[name] for name in milestones if name in reached})


def _since(began: float, reached: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: ((min if name == FIRST else max)(times) - began) * 1000 for name, times in reached.items()}
