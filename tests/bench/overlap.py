"""How many of some stretches of time ran at the same moment. Pure."""

from collections.abc import Iterable, Sequence

Stretch = tuple[float, float]
"""When something began and when it ended, in seconds."""


def most_at_once(stretches: Iterable[Stretch]) -> int:
    """Return the most that ran at one moment. One that begins when another ends does not count beside it."""
    events = sorted((at, change) for began, ended in stretches for at, change in ((began, 1), (ended, -1)))
    running = most = 0
    for _, change in events:
        running += change
        most = max(most, running)
    return most


def span(stretches: Sequence[Stretch]) -> float:
    """Return the seconds from the first beginning to the last end."""
    return max(ended for _, ended in stretches) - min(began for began, _ in stretches)


def sum_of(stretches: Iterable[Stretch]) -> float:
    """Return the seconds that all took together."""
    return sum(ended - began for began, ended in stretches)
