"""Hosts: measured, prepared, and given back."""

import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from domain.allocation import UID_RANGES_PER_CLAIM
from domain.errors import CarinaError, CommandFailed
from domain.hosts import Claim, Host, HostReport
from domain.instance import Instance
from drivers.boot import boot_script, ensure_boot, remove_boot, unit_name, unit_text
from drivers.changes import boot_changes, claim_change, pool_changes, provision_changes, tunnel_change
from drivers.claims import CLAIMS_DIR, Claims, Surroundings, read_surroundings, written
from drivers.fabric import LinuxFabric, fabric_script
from drivers.pool import PoolOutcome, label_of, pool_failure, pool_outcome, pool_step, purge_pool, unmount_pool
from drivers.preflight import measure
from drivers.provision import (
    MODULES_FILE,
    SYSCTL_FILE,
    Provided,
    lacking,
    provided,
    provision_steps,
)
from drivers.provision import TIMEOUT_S as PROVISION_TIMEOUT_S
from drivers.shell import ScriptFailed, Shell, Shells
from drivers.steps import Step, run_steps

_TIMEOUT_S = 30.0
_CLAIM_TIMEOUT_S = 180.0
_TRIES = 20

_FORGET_SETTINGS = """
set -euo pipefail
# They serve all instances: with the last claim gone nobody needs them at the next boot.
[ -d "$1" ] || rm -f "${@:2}"
"""

_BOOT = """
# $1: a unit and $2 its text; $3: a script, whose text is the standard input. Writes the paths of what is otherwise.
cmp --quiet - "$3" || echo "$3"
[ ! -d /run/systemd/system ] || [ "$(cat "$1" 2> /dev/null)" = "$2" ] || echo "$1"
"""


class LinuxHosts:
    """Debian hosts, reached through a shell. Implements the port `Hosts`."""

    def __init__(
        self,
        instance: Instance,
        shells: Shells,
        *,
        pool_bytes: int | None = None,
        network: str | None = None,
        uid_ranges: int = UID_RANGES_PER_CLAIM,
        wireguard: bool = False,
        disconnect: Callable[[str, int], Awaitable[None]] | None = None,
    ) -> None:
        """`pool_bytes` is the size of a new pool's file, `network` the nodes' network: both are chosen if None.

        `uid_ranges` is how many nodes' uids are claimed on a host. With `wireguard` hosts whose kernel has that get
        a key for it; without, none keeps one. `disconnect` ends the connections to an address and port.
        """
        self._instance = instance
        self._shells = shells
        self._pool_bytes = pool_bytes
        self._claims = Claims(instance, network=network, uid_ranges=uid_ranges)
        self._label = label_of(instance)
        self._wireguard = wireguard
        self._disconnect = disconnect

    async def measure(self, host: Host) -> HostReport:
        """Say what the host can do, by trying where that is possible. Changes nothing that lasts."""
        return await measure(self._shells(host), self._instance, host, now_s=time.time(), wireguard=self._wireguard)

    async def preview(self, host: Host, network: str | None = None) -> tuple[HostReport, Sequence[str]]:
        """Measure the host, and say in words what `ensure_prepared` would change. Two round trips; changes nothing.

        Raises what `ensure_prepared` does, as far as that can be known before.
        """
        report = await self.measure(host)
        done, seen, pool, tunnel, boot = await self._look(self._shells(host), host)
        claim = self._claims.decide(seen, host, network)
        held = self._claims.held(seen)
        return report, [
            *provision_changes(done),
            *claim_change(held.claim if held else None, claim),
            *pool_changes(pool, host),
            *tunnel_change(tunnel),
            *boot_changes(boot),
        ]

    async def ensure_prepared(
        self, host: Host, network: str | None = None, *, tell: Callable[[str], None] | None = None
    ) -> Claim:
        """Prepare the host: packages, kernel modules and settings, claim, storage pool, what runs at boot.

        Three round trips; what is there already is left as it is. What was changed is logged, and told in the words of
        `preview`. Returns what is claimed, in `network` if one is given. The firewall's table comes with the first
        bridge. Raises `HostNotReady`, `NoAddressLeft`, `DiskFull`, `CommandFailed`.
        """
        log = structlog.get_logger().bind(host=host.name)
        shell = self._shells(host)
        done, seen = await self._provide(shell, host)
        _log_each(log, "host.package_installed", "package", done.packages)
        _log_each(log, "host.setting_raised", "setting", done.sysctls)
        _log_each(log, "host.module_kept_for_boot", "module", done.modules)
        claim, pool, tunnel = await self._claim(shell, host, network, seen)
        kept = await ensure_boot(shell, self._instance, host)
        _log_each(log, "host.kept_for_boot", "path", kept)
        held = self._claims.held(seen)
        changes = [
            *provision_changes(done),
            *claim_change(held.claim if held else None, claim),
            *pool_changes(pool, host),
            *tunnel_change(tunnel),
            *boot_changes(kept),
        ]
        if tell is not None:
            for change in changes:
                tell(change)
        log.info(
            "host.prepared", network=claim.network, uid_first=claim.uid_first, pool_made=bool(pool.made),
            pool_mounted=pool.mounted,
        )  # fmt: skip
        return claim

    async def release(self, host: Host, *, purge: bool) -> None:
        """Take back what the host was given: bridges, rules, mounted pool, boot unit; its nodes have to be gone.

        With `purge` the data goes too: pool, claim, uid ranges, and, with the last instance, the settings kept for the
        next boot; then nothing is connected to the host any more. Packages stay. Nothing there is no error. Where the
        claim says that the instance keeps its things in another directory, all stays: the machine is a host by another
        name too. Raises `CommandFailed`.
        """
        shell = self._shells(host)
        held = await self._claims.look(shell, host)
        if held is not None and held.root != host.root:
            structlog.get_logger().warning("host.left_alone", host=host.name, root=host.root, claimed_for=held.root)
            return
        await LinuxFabric(self._instance, self._shells).remove_all(host)
        await remove_boot(shell, self._instance, host)
        await unmount_pool(shell, host, label=self._label)
        if purge:
            await purge_pool(shell, host, label=self._label)
            await self._claims.release(shell, host, held)
            await shell.run(
                _FORGET_SETTINGS,
                args=(CLAIMS_DIR, SYSCTL_FILE, MODULES_FILE),
                timeout_s=_TIMEOUT_S,
                what=f"Removing settings for the next boot on {host.name}",
            )
            if self._disconnect is not None:
                await self._disconnect(host.address, host.login.port)
        structlog.get_logger().info("host.released", host=host.name, purged=purge)

    async def _provide(self, shell: Shell, host: Host) -> tuple[Provided, Surroundings]:
        """Give the host what it lacks, and return what its claim is decided upon. One round trip."""
        steps = [
            *provision_steps(host.name, builds=host.local, wireguard=self._wireguard),
            self._claims.reading(host),
        ]
        try:
            *outputs, read = await run_steps(shell, steps, timeout_s=PROVISION_TIMEOUT_S)
        except ScriptFailed as failure:
            raise lacking(failure) from failure
        return provided(outputs), read_surroundings(read)

    async def _claim(
        self, shell: Shell, host: Host, network: str | None, seen: Surroundings
    ) -> tuple[Claim, PoolOutcome, str]:
        """Write the claim, make the pool, and say what became of WireGuard's key.

        One round trip, unless other instances claim at the same moment.
        """
        for _ in range(_TRIES):
            claim = self._claims.decide(seen, host, network)
            wrote, made, tunnel, read = await self._steps(
                shell,
                self._claims.writing(host, claim, seen),
                self._pool(host),
                self._tunnel(host),
                self._claims.reading(host),
            )
            if written(wrote):
                return claim, pool_outcome(made), tunnel.strip()
            structlog.get_logger().info("claim.contended", host=host.name)
            seen = read_surroundings(read)
        raise CommandFailed(f"The claims on host {host.name} changed {_TRIES} times while one was decided.")

    async def _look(self, shell: Shell, host: Host) -> tuple[Provided, Surroundings, PoolOutcome, str, Sequence[str]]:
        """Return what the host lacks, what its claim is decided upon, what becomes of pool and key, what boot lacks."""
        unit = f"/etc/systemd/system/{unit_name(self._instance)}"
        args = (unit, unit_text(self._instance, host).rstrip("\n"), f"{host.root}/state/boot.sh")
        *outputs, read, made, tunnel, boot = await self._steps(
            shell,
            *provision_steps(host.name, builds=host.local, wireguard=self._wireguard, dry=True),
            self._claims.reading(host),
            self._pool(host, dry=True),
            self._tunnel(host, dry=True),
            Step(
                f"Looking at what runs at boot on {host.name}", _BOOT, args, boot_script(self._instance, host).encode()
            ),
        )
        return provided(outputs), read_surroundings(read), pool_outcome(made), tunnel.strip(), boot.splitlines()

    def _pool(self, host: Host, *, dry: bool = False) -> Step:
        return pool_step(host, label=self._label, size_bytes=self._pool_bytes, dry=dry)

    def _tunnel(self, host: Host, *, dry: bool = False) -> Step:
        args = (host.root, self._instance.prefix, "on" if self._wireguard else "off", "tell" if dry else "do")
        script = fabric_script("wireguard_ready", "root=$1 prefix=$2\n")
        return Step(f"Seeing to WireGuard's key on {host.name}", script, args)

    async def _steps(self, shell: Shell, *steps: Step) -> list[str]:
        try:
            return await run_steps(shell, steps, timeout_s=_CLAIM_TIMEOUT_S)
        except ScriptFailed as failure:
            raise _meaning(failure) from failure


def _meaning(failure: ScriptFailed) -> CarinaError:
    told = lacking(failure)
    return pool_failure(failure) if told is failure else told


def _log_each(log: structlog.typing.FilteringBoundLogger, event: str, name: str, values: Sequence[str]) -> None:
    for value in values:
        log.info(event, **{name: value})
