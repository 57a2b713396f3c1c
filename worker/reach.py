"""How the service reaches its hosts, and how it looks at a machine before that is one of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from domain.hosts import Host, HostReport
from drivers.hosts import LinuxHosts
from drivers.shell import Shells
from drivers.shells import HostShells
from drivers.ssh import SshTarget, presented_key
from drivers.ssh_identity import ensure_identity


def own_identity(home: Path) -> Path:
    """Return where the service's own key is, beside which its public key lies."""
    return home / "ssh" / "id_ed25519"


def host_shells(home: Path) -> HostShells:
    """Return the shells of all hosts, which whoever calls this closes.

    A host whose login names no identity is shown an agent's keys, and the service's own, made when first needed.
    """

    def target_of(host: Host) -> SshTarget:
        login = host.login
        identity = Path(login.identity) if login.identity else ensure_identity(own_identity(home), comment="carina")
        return SshTarget(host.address, login.port, login.user, identity, login.host_key, agent=not login.identity)

    return HostShells(target_of)


@asynccontextmanager
async def closing(shells: HostShells) -> AsyncIterator[HostShells]:
    """Yield shells, and end their connections."""
    try:
        yield shells
    finally:
        await shells.close()


@dataclass(frozen=True)
class SshProbes:
    """Looks at machines that may become hosts, over connections that end with the look. Fits `api.ports.HostProbes`.

    `hosts_of` gives what measures hosts through some shells; `network` says from which network nodes take addresses.
    """

    home: Path
    hosts_of: Callable[[Shells], LinuxHosts]
    network: Callable[[], str | None]

    async def presented_key(self, address: str, port: int) -> tuple[str, str]:
        """Return the public key that a machine presents, and its fingerprint. Raises `HostUnreachable`."""
        key = await presented_key(address, port)
        return key.line, key.fingerprint

    async def preview(self, host: Host) -> tuple[HostReport, Sequence[str]]:
        """Measure a machine, and say in words what preparing it would change, changing nothing.

        Raises what connecting raises (`HostUnreachable`, `HostKeyChanged`, `HostAccessDenied`, `HostNotReady`), and
        `CommandFailed`.
        """
        async with closing(host_shells(self.home)) as shells:
            return await self.hosts_of(shells).preview(host, await asyncio.to_thread(self.network))
