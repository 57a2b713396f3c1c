"""How long steps may take, and how they are tried again. One table for all workflows."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio.common import RetryPolicy

HEARTBEAT_TIMEOUT = timedelta(seconds=5)


@dataclass(frozen=True)
class StepPolicy:
    """`attempt` bounds one attempt, `all_attempts` all of them together; `final` are codes not worth another.

    `attempts` is how many there may be; 0 is as many as the time allows.
    """

    attempt: timedelta
    all_attempts: timedelta
    first_retry: timedelta = timedelta(milliseconds=250)
    longest_retry: timedelta = timedelta(seconds=5)
    heartbeat: timedelta | None = HEARTBEAT_TIMEOUT
    final: tuple[str, ...] = ()
    attempts: int = 0

    @property
    def retry(self) -> RetryPolicy:
        """The policy in Temporal's own terms."""
        return RetryPolicy(
            initial_interval=self.first_retry,
            maximum_interval=self.longest_retry,
            maximum_attempts=self.attempts,
            non_retryable_error_types=list(self.final),
        )


RECORD = StepPolicy(
    attempt=timedelta(seconds=5),
    all_attempts=timedelta(days=1),
    first_retry=timedelta(milliseconds=100),
    heartbeat=None,
)
"""Rows. The database may be away for long, and what happened still has to be written."""

RESERVE = StepPolicy(attempt=timedelta(seconds=5), all_attempts=timedelta(minutes=10), heartbeat=None)
"""Reservations. A host that is being prepared is worth waiting for."""

KEYS = StepPolicy(attempt=timedelta(seconds=5), all_attempts=timedelta(minutes=2), heartbeat=None)
NETWORK = StepPolicy(attempt=timedelta(seconds=20), all_attempts=timedelta(minutes=2))
GUARD = StepPolicy(attempt=timedelta(minutes=2), all_attempts=timedelta(minutes=6))
"""All hosts at once, after what is under way already. A silent one among them takes most of a minute."""

PROBE = StepPolicy(attempt=timedelta(seconds=30), all_attempts=timedelta(minutes=1))
"""Proofs between hosts. What stands between them does not go away by trying; a node that just started is worth some."""

SETTLE = StepPolicy(attempt=timedelta(seconds=45), all_attempts=timedelta(seconds=90))
"""What is brought in line after a change, on hosts that answer. The change stands also where this fails."""

NODE = StepPolicy(attempt=timedelta(minutes=2), all_attempts=timedelta(minutes=4), final=("docker-silent",))
START = StepPolicy(attempt=timedelta(minutes=2), all_attempts=timedelta(minutes=2), final=("docker-silent",))
"""Starts of nodes that were there before. What does not start by then is left to the next heal, after a pause."""

LOAD = StepPolicy(
    attempt=timedelta(minutes=15), all_attempts=timedelta(minutes=30), final=("image-load-failed",), attempts=8
)
"""Container images. An archive may be gigabytes; a node that has died is asked for some twenty seconds."""

MEMBERSHIP = StepPolicy(attempt=timedelta(minutes=1), all_attempts=timedelta(minutes=3))
REJOIN = StepPolicy(attempt=timedelta(minutes=2), all_attempts=timedelta(minutes=6))
"""Nodes find their cluster again. Engines of others may hang, which takes half a minute to see."""

OVERLAY = StepPolicy(attempt=timedelta(minutes=1), all_attempts=timedelta(minutes=2))
VERIFY = StepPolicy(attempt=timedelta(minutes=4), all_attempts=timedelta(minutes=10), final=("overlay-unreachable",))
DRAIN = StepPolicy(attempt=timedelta(minutes=2), all_attempts=timedelta(minutes=5))
REMOVE = StepPolicy(attempt=timedelta(minutes=1), all_attempts=timedelta(minutes=3))
"""Removals on the way of an undo or a delete. What can't be removed by then is left to the sweep."""

HOST = StepPolicy(attempt=timedelta(minutes=15), all_attempts=timedelta(minutes=30), final=("host-not-ready",))
IMAGE = StepPolicy(attempt=timedelta(minutes=20), all_attempts=timedelta(hours=1))
MOVES = StepPolicy(attempt=timedelta(hours=3), all_attempts=timedelta(hours=3))
"""Moves of nodes off a host, all clusters' at once: each has its own steps with their bounds."""

RELEASE = StepPolicy(attempt=timedelta(minutes=3), all_attempts=timedelta(minutes=6))
RELEASE_BY_FORCE = StepPolicy(attempt=timedelta(minutes=3), all_attempts=timedelta(minutes=6), attempts=3)
"""Whoever removes a host by force mostly knows that it is dead: it is asked no longer than some ten seconds."""

FORGET = StepPolicy(attempt=timedelta(seconds=5), all_attempts=timedelta(hours=1), heartbeat=None)
"""The end of a host's row. Changes to clusters that had nodes there come first; they have their own bounds."""

INSPECT = StepPolicy(attempt=timedelta(minutes=2), all_attempts=timedelta(minutes=10))
LOOK = StepPolicy(
    attempt=timedelta(minutes=2), all_attempts=timedelta(minutes=10), final=("host-unreachable",), attempts=5
)
"""Looks of the sweep, which comes again: a host that does not answer is left out at once."""
