"""The roll call of hosts: which of them answer, also those without nodes. Placement leaves out those that don't.

A host that answers and has not got its storage pool was rebooted, and has no systemd, or a unit that failed: it is
prepared anew, which brings back its networks and nodes.
"""

import asyncio
from collections.abc import Collection

import structlog

from activities.record_ports import Records
from domain.hosts import Host
from worker.host_looks import HostLooks

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

BACK_WAIT_S = 1.0
"""How long a host that did not answer is given to do so at another look."""


class RollCall:
    """Records which hosts answer. It shares its looks with whoever else looks at them."""

    def __init__(self, records: Records, looks: HostLooks) -> None:
        self._records = records
        self._looks = looks
        self.in_doubt = False
        """Whether another look has to tell of some host that has just not answered, or not yet."""

    async def take(self, hosts: Collection[Host], since: float, *, wait_s: float) -> None:
        """Have every host looked at after `since`, as of `time.monotonic`, and record what is certain in `wait_s`."""
        self._looks.keep_only(hosts)
        waits = [asyncio.create_task(self._looks.at(host, since)) for host in hosts]
        try:
            if waits:
                await asyncio.wait(waits, timeout=wait_s)
        finally:
            for wait in waits:
                wait.cancel()
        if looks := self._looks.under_way(hosts):  # at hosts that were silent: one that is back answers at once
            await asyncio.wait(looks, timeout=BACK_WAIT_S)
        verdicts = {host.id: self._looks.verdict(host) for host in hosts}
        self.in_doubt = None in verdicts.values()
        answers = {
            host_id: look.why if look.found is None else None for host_id, look in verdicts.items() if look is not None
        }
        await asyncio.to_thread(self._records.record_answers, answers)
        for host in hosts:
            look = verdicts[host.id]
            if look is not None and look.lacks_pool:
                await self._bring_up(host)

    async def _bring_up(self, host: Host) -> None:
        """Have a host prepared anew that was rebooted and has nothing of its own that brings back what it carried."""
        operation_id = await asyncio.to_thread(self._records.accept_bring_up, host.id)
        if operation_id is not None:
            _log.info("watch.host_bring_up", host=host.name, operation=operation_id)
