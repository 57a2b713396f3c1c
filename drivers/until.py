"""Waits that end as soon as they can. Block."""

import time
from collections.abc import Callable

_POLL_S = 0.02


def until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Poll tightly until `condition()` is true or `timeout_s` has passed; return whether it came true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
