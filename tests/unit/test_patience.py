"""How long steps wait for hosts that do not answer."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import cast

from temporalio import activity

from activities.patience import UNREACHABLE_AGAIN_FOR, UNREACHABLE_FOR, Patience
from domain.errors import CommandFailed, HostUnreachable


@dataclass(frozen=True)
class Attempt:
    """What `Patience` reads of activity.Info."""

    workflow_run_id: str = "run"
    activity_id: str = "1"
    started_time: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def later(self, by: timedelta, **changes: str) -> "Attempt":
        return replace(self, started_time=self.started_time + by, **changes)


def ends(patience: Patience, attempt: Attempt, error: Exception | None = None, *, took_s: float = 3) -> bool:
    silence = error or HostUnreachable("rack1 does not answer.")
    return patience.ends(cast("activity.Info", attempt), silence, took_s=took_s)


SHORTLY = timedelta(seconds=1)


def test_a_silent_host_is_given_up_after_a_while() -> None:
    patience, first = Patience(), Attempt()
    assert not ends(patience, first)
    assert not ends(patience, first.later(UNREACHABLE_FOR - SHORTLY))
    assert ends(patience, first.later(UNREACHABLE_FOR))


def test_an_attempt_that_reached_the_host_counts_anew() -> None:
    patience, first = Patience(), Attempt()
    assert not ends(patience, first)
    assert not ends(patience, first.later(SHORTLY), CommandFailed("It said no."))
    assert not ends(patience, first.later(UNREACHABLE_FOR))
    assert not ends(patience, first.later(UNREACHABLE_FOR * 2), took_s=UNREACHABLE_FOR.total_seconds())


def test_later_steps_of_a_run_that_has_given_a_host_up_wait_less() -> None:
    patience, first = Patience(), Attempt()
    ends(patience, first)
    assert ends(patience, first.later(UNREACHABLE_FOR))
    undo = first.later(UNREACHABLE_FOR + SHORTLY, activity_id="2")
    assert not ends(patience, undo)
    assert ends(patience, undo.later(UNREACHABLE_AGAIN_FOR))
    other = replace(undo, workflow_run_id="another")
    assert not ends(patience, other)
    assert not ends(patience, other.later(UNREACHABLE_AGAIN_FOR))
