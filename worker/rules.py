"""The firewalls of hosts, looked at beside the watch: another program may flush all rules, Carina's among them."""

import asyncio
import time
from collections.abc import Collection

import structlog

from activities.ports import Fabric
from domain.errors import CarinaError
from domain.hosts import Host

EVERY_S = 60.0

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Rules:
    """Brings back what was flushed, on hosts that answer."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._at = -EVERY_S
        self._under_way: set[asyncio.Task[None]] = set()

    def look(self, hosts: Collection[Host]) -> None:
        """Begin to look at the hosts, unless that was begun shortly ago, or goes on. Nobody waits for its end."""
        if self._under_way or time.monotonic() - self._at < EVERY_S:
            return
        self._at = time.monotonic()
        for host in hosts:
            task = asyncio.create_task(self._ensure(host))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    def stop(self) -> None:
        """Cancel what is under way."""
        for task in self._under_way:
            task.cancel()

    async def _ensure(self, host: Host) -> None:
        try:
            if await self._fabric.ensure_rules(host):
                _log.warning("watch.rules_were_gone", host=host.name)
        except CarinaError as error:
            _log.warning("watch.rules_unknown", host=host.name, reason=error.detail)
        except Exception:  # noqa: BLE001 - logged; the next look comes
            _log.exception("watch.rules_failed", host=host.name)
