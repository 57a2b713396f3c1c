"""Requests that wait until something changes (long polls), without holding a thread or a connection meanwhile."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool

from store.revisions import Revision

LONGEST_S = 9.0
"""How long a request may wait. Clients commonly give up on an answer after 10 s."""

_LOOK_EVERY_S = 0.04
_GATHER_S = 0.2
_UNDELAYED = 8
"""So many wait at full attention. More share the same number of looks a second, each looked at more seldom."""


class Waits:
    """The waits of one app. They look at the database, since another process may write what changes.

    A look costs 0.2 ms, on a busy machine up to 1 ms: hence no more of them.
    """

    def __init__(self) -> None:
        self._waiting = 0
        self._closed = False

    def close(self) -> None:
        """End all waits, and let none begin: the service is about to stop."""
        self._closed = True

    async def for_change(
        self, look: Callable[[], Revision], told: str, *, wait_s: float, gone: Callable[[], Awaitable[bool]]
    ) -> None:
        """Return once the revision is another than `told`, after `wait_s`, or when the client has `gone`.

        A change of the operation's state counts at once. Steps of many nodes change at about the same time: they
        are gathered for 0.2 s, so that they cost one answer. Raises what `look` raises; it may block.
        """
        first = await run_in_threadpool(look)
        if str(first) != told:
            return
        changed = False
        until = time.monotonic() + wait_s
        self._waiting += 1
        try:
            while (left_s := until - time.monotonic()) > 0 and not self._closed and not await gone():
                await asyncio.sleep(min(left_s, _LOOK_EVERY_S * max(1.0, self._waiting / _UNDELAYED)))
                revision = await run_in_threadpool(look)
                if revision.state != first.state:
                    return
                if revision != first and not changed:
                    changed = True
                    until = min(until, time.monotonic() + _GATHER_S)
        finally:
            self._waiting -= 1
