"""How a wait shows itself: a line for each step as it ends, and on a terminal those that run, live."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from carina_cli.output import colours_wanted, complain, seconds_between
from carina_cli.shapes import Operation, Step

_MARKS = {"succeeded": "ok", "failed": "failed", "lost": "lost", "running": "..."}


class Progress(Protocol):
    """Something that is told the state of an operation again and again, and shows what is new."""

    def update(self, operation: Operation) -> None:
        """Show what is new since the last call."""

    def note(self, text: str) -> None:
        """Say something beside the steps."""


class StepLog:
    """Remembers which attempts of steps have been shown to have ended."""

    def __init__(self) -> None:
        self._shown: set[tuple[str, str | None, str | None, int, str]] = set()

    def newly_ended(self, operation: Operation) -> list[Step]:
        """Return the attempts that have ended and were not returned before, in the order of their ends."""
        ended = [step for step in operation["steps"] if step["ended_at"] is not None or step["state"] != "running"]
        fresh = [step for step in ended if _key(step) not in self._shown]
        self._shown.update(_key(step) for step in fresh)
        return sorted(fresh, key=lambda step: step["ended_at"] or "")


class PlainProgress:
    """Lines on stderr, for pipes, logs and terminals that can't be steered."""

    def __init__(self) -> None:
        self._log = StepLog()

    def update(self, operation: Operation) -> None:
        """Write a line for each attempt of a step that has ended since the last call."""
        complain(step_line(step) for step in self._log.newly_ended(operation))

    def note(self, text: str) -> None:
        """Write a line."""
        complain([text])


def step_line(step: Step) -> str:
    """Return an attempt of a step as a line: state, title, node, seconds, why it failed if it did, and its note."""
    seconds = seconds_between(step["started_at"], step["ended_at"]) or 0.0
    where = step["node"] or step["host"] or ""
    line = f"  {_MARKS.get(step['state'], step['state']):<7}{step['title']:<48} {where:<20} {seconds:>7.2f} s"
    if step["attempt"] > 1:
        line += f"  attempt {step['attempt']}"
    error = step["error"]
    if error:
        first_line = (error.get("detail") or error.get("title") or "").partition("\n")[0]
        line += f"  {error.get('code')}: {first_line}"
    if step.get("note"):
        line += f"  {step['note']}"
    return line


def running_steps(operation: Operation) -> list[Step]:
    """Return the attempts that are going on."""
    return [step for step in operation["steps"] if step["state"] == "running" and step["ended_at"] is None]


def show(heading: str) -> AbstractContextManager[Progress]:
    """Return the display that suits stderr, with `heading` above the steps."""
    if not colours_wanted(sys.stderr):
        return _plain(heading)
    from carina_cli.live import live_progress  # noqa: PLC0415 - rich takes 100 ms, and only terminals need it

    make: Callable[[str], AbstractContextManager[Progress]] = live_progress
    return make(heading)


@contextmanager
def _plain(heading: str) -> Iterator[Progress]:
    """Write the heading, then lines."""
    complain([heading])
    yield PlainProgress()


def _key(step: Step) -> tuple[str, str | None, str | None, int, str]:
    """Return what tells one attempt of a step from all others."""
    return step["name"], step["node"], step["host"], step["attempt"], step["started_at"]
