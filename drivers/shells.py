"""Gives each host its shell: this machine's own, or one over SSH whose connections are kept."""

from collections import Counter
from collections.abc import Callable

from domain.hosts import Host
from drivers.shell import LOCAL, LocalShell, Shell
from drivers.ssh import SshShell, SshTarget


class HostShells:
    """The shells of all hosts, one for each way to reach one. It is a `drivers.shell.Shells`.

    A process has one of these, and uses it on one event loop: connections can't be used on another.
    """

    def __init__(self, target_of: Callable[[Host], SshTarget]) -> None:
        self._target_of = target_of
        self._shells: dict[SshTarget, SshShell] = {}

    def __call__(self, host: Host) -> Shell:
        """Return the shell of a host. Nothing connects before a script is run."""
        if host.address == LOCAL:
            return LocalShell()
        target = self._target_of(host)
        if target not in self._shells:
            self._shells[target] = SshShell(target)
        return self._shells[target]

    def scripts(self, address: str = "") -> Counter[str]:
        """Return how many scripts were run over SSH, by what they did: on the host at `address`, or on all hosts."""
        counted: Counter[str] = Counter()
        for target, shell in self._shells.items():
            if address in {"", target.address}:
                counted.update(shell.scripts)
        return counted

    async def forget(self, address: str, port: int) -> None:
        """End the connections to an SSH server, as that of a host that is removed."""
        gone = [target for target in self._shells if (target.address, target.port) == (address, port)]
        for target in gone:
            await self._shells.pop(target).close()

    async def close(self) -> None:
        """End all connections."""
        while self._shells:
            _, shell = self._shells.popitem()
            await shell.close()
