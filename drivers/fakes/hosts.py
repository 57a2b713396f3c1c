"""Hosts that are only remembered."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from domain.allocation import UIDS_PER_NODE, choose_claim
from domain.hosts import Claim, Host, HostReport
from domain.instance import Instance

FIT = HostReport(checks=(), capabilities=frozenset(), mtu=1500, cgroup_version=2)


class FakeMachine:
    """A machine that several instances may share: the claims on it, by prefix."""

    def __init__(self) -> None:
        self.claims: dict[str, Claim] = {}


class FakeHosts:
    """A `Hosts` without machines. `report` is what measuring says of hosts, unless `reports` says it by their names.

    `prepared` and `released` list the ids of hosts, in turn.
    """

    def __init__(self, instance: Instance, machine: FakeMachine | None = None, report: HostReport = FIT) -> None:
        self._instance = instance
        self._machine = machine or FakeMachine()
        self.report = report
        self.reports: dict[str, HostReport] = {}
        self.prepared: list[str] = []
        self.released: list[str] = []

    async def measure(self, host: Host) -> HostReport:
        """Return what is said of the host."""
        return self.reports.get(host.name, self.report)

    async def ensure_prepared(
        self, host: Host, network: str | None = None, *, tell: Callable[[str], None] | None = None
    ) -> Claim:
        """Return the claim that the host has, the instance's own, or a new one apart from all others.

        A new one is of `network`, if one is given.
        """
        self.prepared.append(host.id)
        claims = self._machine.claims
        held = host.claim or claims.get(self._instance.prefix)
        if held is None:
            held = _choose(list(claims.values()))
            held = held if network is None else replace(held, network=network)
            if tell is not None:
                tell(f"claim the network {held.network} for nodes")
        claims[self._instance.prefix] = held
        return held

    async def release(self, host: Host, *, purge: bool) -> None:
        """Forget the claim, if `purge`."""
        self.released.append(host.id)
        if purge:
            self._machine.claims.pop(self._instance.prefix, None)


def _choose(others: Sequence[Claim]) -> Claim:
    return choose_claim(
        [other.network for other in others],
        [(other.uid_first, other.uid_ranges * UIDS_PER_NODE) for other in others],
    )
