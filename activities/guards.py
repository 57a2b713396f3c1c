"""What each host has to know of all others: nodes are kept from them, and packets to them are encrypted, if wanted."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from activities.hosts_at_once import Part, converge
from activities.ports import Fabric
from activities.record_ports import Records
from activities.shared_run import SharedRun
from domain.errors import StepFailed
from domain.hosts import Host, HostState, TunnelPeer

_GUARDED = frozenset({HostState.PREPARING, HostState.READY})


@dataclass(frozen=True)
class _Others:
    """What a host has to know: networks that its nodes are kept from, and who has WireGuard; None if itself has not."""

    guarded: tuple[str, ...]
    peers: tuple[TunnelPeer, ...] | None


class Guards:
    """Brings the guards of all hosts to what the rows say.

    A host that comes changes the guards of all others. So hosts that come at once share a run: the work is linear in
    hosts for as many as there are, not square.
    """

    def __init__(self, records: Records, fabric: Fabric, management_networks: Sequence[str]) -> None:
        """`management_networks` (CIDR) are networks that nodes have no business in, on any host."""
        self._records = records
        self._fabric = fabric
        self._management_networks = tuple(management_networks)
        self._shared = SharedRun(self._bring)

    async def ensure(self) -> Sequence[tuple[Host, StepFailed]]:
        """Ensure that every host is guarded as the rows said when this was called; return which could not be, and why.

        What is wrong with one host is no failure of those who share the run.
        """
        return await self._shared.result()

    async def _bring(self) -> Sequence[tuple[Host, StepFailed]]:
        left_out: dict[str, tuple[Host, StepFailed]] = {}

        async def guard(part: Part[_Others]) -> None:
            left_out.pop(part.host.id, None)
            try:
                await self._fabric.ensure_guarded(part.host, part.wanted.guarded)
                if part.wanted.peers is not None:
                    await self._fabric.ensure_tunnels(part.host, part.wanted.peers)
            except StepFailed as error:
                left_out[part.host.id] = part.host, error

        await converge(self._wanted, guard, all_must_answer=True)
        return list(left_out.values())

    def _wanted(self) -> list[Part[_Others]]:
        hosts = self._records.hosts()
        guarded = [host for host in hosts if host.state in _GUARDED and host.claim is not None]
        networks = {host.id: _networks(host) for host in hosts}
        return [
            Part(
                host,
                _Others(
                    (*sorted(set().union(*networks.values()) - networks[host.id]), *self._management_networks),
                    _peers(host, hosts),
                ),
            )
            for host in guarded
        ]


def _peers(host: Host, hosts: Sequence[Host]) -> tuple[TunnelPeer, ...] | None:
    if host.tunnel is None:
        return None
    return tuple(
        TunnelPeer(other.fabric_address, other.tunnel)
        for other in hosts
        if other.id != host.id
        and other.tunnel is not None
        and (other.image or other.state in _GUARDED)  # not one that never was prepared, and may be a twin of another
        and _is_ipv4(other.fabric_address)
    )


def _networks(host: Host) -> set[str]:
    """Return the networks that nodes on other hosts have no business in: its addresses."""
    addresses = {host.fabric_address, host.address, *host.addresses}
    return {f"{address}/32" for address in addresses if _is_ipv4(address)}


def _is_ipv4(address: str) -> bool:
    """Whether it is an address that a rule can name: a host may be known by a name, too, or be this machine."""
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        return False
    return True
