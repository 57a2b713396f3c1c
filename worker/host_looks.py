"""Looks at hosts, each on its own: one that hangs delays no other, and is not asked a second time meanwhile."""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import structlog

from activities.ports import Nodes
from domain.errors import CarinaError, PoolNotMounted
from domain.hosts import Host
from domain.nodes import FoundNode

LOOK_TIMEOUT_S = 20.0
"""How long a host may take to tell which containers run, until it counts as silent."""
SILENT_AFTER = 2
"""After so many looks in a row that a host did not answer, nobody waits for it any more until it does."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a host came to: the containers on it, or, with None, why there was no answer."""

    found: Sequence[FoundNode] | None
    why: str = ""
    lacks_pool: bool = False
    """Whether the host is there, but not what it carried: it was rebooted, and nothing has brought that back."""


@dataclass(frozen=True, slots=True)
class _UnderWay:
    began: float
    task: asyncio.Task[Look]


class HostLooks:
    """Keeps one look at each host under way at most, for all who want to know."""

    def __init__(self, nodes: Nodes, *, timeout_s: float = LOOK_TIMEOUT_S) -> None:
        self._nodes = nodes
        self._timeout_s = timeout_s
        self._looks: dict[str, _UnderWay] = {}
        self._silences: dict[str, list[Look]] = {}

    async def at(self, host: Host, since: float) -> Look:
        """Return what a look at the host found that began after `since`, as of `time.monotonic`.

        Of a host that has not answered for a while it is said at once that it does not, while it is looked at again.
        """
        while True:
            look = self._look_since(host, since)
            silences = self._silences.get(host.id, [])
            if len(silences) >= SILENT_AFTER and not look.task.done():
                return silences[-1]
            # Whoever is cancelled while it waits must not take the look from the others.
            result = await asyncio.shield(look.task)
            if result.found is None or look.began >= since:
                return result

    def keep_only(self, hosts: Collection[Host]) -> None:
        """Forget what was heard of all other hosts: whatever is done about them now may change that."""
        ids = {host.id for host in hosts}
        self._silences = {id_: silences for id_, silences in self._silences.items() if id_ in ids}

    def under_way(self, hosts: Collection[Host]) -> Collection[asyncio.Task[Look]]:
        """Return the looks that have not ended, at those of the hosts that nobody waits for any more."""
        silent = [host for host in hosts if len(self._silences.get(host.id, [])) >= SILENT_AFTER]
        looks = (self._looks.get(host.id) for host in silent)
        return [look.task for look in looks if look is not None and not look.task.done()]

    def verdict(self, host: Host) -> Look | None:
        """Return the look that tells how the host is now: None while there was none, or only one without an answer."""
        silences = self._silences.get(host.id, [])
        if silences:
            return silences[-1] if len(silences) >= SILENT_AFTER else None
        look = self._looks.get(host.id)
        return look.task.result() if look is not None and look.task.done() else None

    def answers(self, host: Host) -> bool:
        """Whether the host answered the last look at it."""
        look = self.verdict(host)
        return look is not None and look.found is not None

    def stop(self) -> None:
        """Cancel all looks that are under way."""
        for look in self._looks.values():
            look.task.cancel()

    def _look_since(self, host: Host, since: float) -> _UnderWay:
        """Return the look that is under way, or one that began after `since`, or begin another."""
        look = self._looks.get(host.id)
        if look is None or (look.task.done() and look.began < since):
            look = self._looks[host.id] = _UnderWay(time.monotonic(), asyncio.create_task(self._look(host)))
        return look

    async def _look(self, host: Host) -> Look:
        try:
            async with asyncio.timeout(self._timeout_s):
                look = Look(await self._nodes.found(host))
        except CarinaError as error:
            look = Look(None, error.detail, lacks_pool=isinstance(error, PoolNotMounted))
        except TimeoutError:
            look = Look(None, f"there was no answer within {self._timeout_s:g} s")
        except Exception as error:  # noqa: BLE001 - logged; nothing is known of this host, and the others get their turn
            _log.exception("watch.look_failed", host=host.name)
            look = Look(None, f"the look at it failed ({type(error).__name__})")
        if look.found is None:
            _log.warning("watch.host_silent", host=host.name, reason=look.why)
            self._silences[host.id] = [*self._silences.get(host.id, []), look][-SILENT_AFTER:]
        elif self._silences.pop(host.id, None) is not None:
            _log.info("watch.host_answers", host=host.name)
        return look
