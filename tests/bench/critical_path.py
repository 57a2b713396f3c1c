"""Where an operation's time went: the chain of steps of which each waited for the one before it. Pure."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.bench.runs import moment

Json = dict[str, Any]
BETWEEN_STEPS = "between steps (Temporal)"
BEFORE_FIRST = "accepted until first step (Temporal)"


@dataclass(frozen=True)
class Step:
    """An attempt of a step, in milliseconds from the operation's acceptance."""

    name: str
    began: float
    ended: float

    @property
    def took(self) -> float:
        return self.ended - self.began


def steps_of(operation: Json) -> list[Step]:
    zero = moment(operation["created_at"])
    return [
        Step(step["name"], (moment(step["started_at"]) - zero) * 1000, (moment(step["ended_at"]) - zero) * 1000)
        for step in operation["steps"]
    ]


def critical_path(steps: list[Step]) -> list[Step]:
    """Go back from the step that ended last, each time to the one that ended last before it began."""
    path = [max(steps, key=lambda step: step.ended)]
    while before := [step for step in steps if step.ended <= path[-1].began]:
        path.append(max(before, key=lambda step: step.ended))
    return path[::-1]


def shares(operation: Json) -> dict[str, float]:
    """Return, by step, what the critical path spent in it, and what it spent between steps. The sum is all of it."""
    path = critical_path(steps_of(operation))
    parts: dict[str, float] = {BEFORE_FIRST: path[0].began}
    for step in path:
        parts[step.name] = parts.get(step.name, 0.0) + step.took
    parts[BETWEEN_STEPS] = sum(after.began - before.ended for before, after in pairwise(path))
    return parts


def totals(operation: Json) -> dict[str, tuple[int, float]]:
    """Return, by step, how often it ran and for how long in all, on the critical path or beside it."""
    found: dict[str, tuple[int, float]] = {}
    for step in steps_of(operation):
        count, took = found.get(step.name, (0, 0.0))
        found[step.name] = (count + 1, took + step.took)
    return found
