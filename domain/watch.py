"""What the watch over running clusters reads, and when it has them healed. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from domain.clusters import Condition
from domain.errors import ErrorRecord
from domain.facts import ClusterFacts, NodeFacts
from domain.operations import OperationState

HEALS_KEPT = 12
"""How many past heals of a cluster are looked at: more than it takes to reach the longest pause."""
FIRST_PAUSE = timedelta(seconds=15)
LONGEST_PAUSE = timedelta(minutes=10)
FAILURES_COUNT_FOR = timedelta(hours=2)
SUCCESSES_COUNT_FOR = timedelta(minutes=10)
FREE_HEALS = 3
"""So many heals that succeeded may follow each other shortly before pauses begin: nodes may fail in turn."""


@dataclass(frozen=True, slots=True)
class PastHeal:
    """A heal that has ended: well, or with an error, or cancelled. `ended_at` is in UTC."""

    state: OperationState
    ended_at: datetime
    error: ErrorRecord | None


@dataclass(frozen=True, slots=True)
class WatchedCluster:
    """An active cluster that nothing is being changed on: its active nodes, manager first; its heals, newest first."""

    facts: ClusterFacts
    nodes: Sequence[NodeFacts]
    conditions: Sequence[Condition]
    heals: Sequence[PastHeal]


def next_heal_at(heals: Sequence[PastHeal], now: datetime) -> datetime | None:
    """Return when the next heal may begin, given those before, newest first; None if nothing speaks against now.

    Each one that failed doubles the pause, from `FIRST_PAUSE` to `LONGEST_PAUSE`; so does one that succeeded in vain,
    time and again, since a node that stops whenever it was started is not helped by starting it for ever.
    """
    row = list(takewhile(lambda heal: now - heal.ended_at < _counts_for(heal), heals))
    in_vain = sum(not _well(heal) for heal in row) + max(0, sum(map(_well, row)) - FREE_HEALS)
    if not in_vain:
        return None
    due = row[0].ended_at + min(FIRST_PAUSE * 2 ** (in_vain - 1), LONGEST_PAUSE)
    return due if due > now else None


def last_failure(heals: Sequence[PastHeal]) -> PastHeal | None:
    """Return the newest heal if it failed."""
    return heals[0] if heals and not _well(heals[0]) else None


def _counts_for(heal: PastHeal) -> timedelta:
    return SUCCESSES_COUNT_FOR if _well(heal) else FAILURES_COUNT_FOR


def _well(heal: PastHeal) -> bool:
    return heal.state is OperationState.SUCCEEDED
