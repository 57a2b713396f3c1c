"""Hosts: measured, prepared, and given back."""

import time
from collections.abc import Sequence

import structlog

from domain.allocation import UID_RANGES_PER_CLAIM
from domain.hosts import Claim, Host, HostReport
from domain.instance import Instance
from drivers.claims import CLAIMS_DIR, Claims
from drivers.fabric import LinuxFabric
from drivers.pool import ensure_pool, purge_pool, unmount_pool
from drivers.preflight import measure
from drivers.provision import MODULES_FILE, SYSCTL_FILE, provide
from drivers.shell import Shells

_TIMEOUT_S = 30.0

_FORGET_SETTINGS = """
set -euo pipefail
# They serve all instances: with the last claim gone nobody needs them at the next boot.
[ -d "$1" ] || rm -f "${@:2}"
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
    ) -> None:
        """`pool_bytes` is the size of a new pool's file, `network` the nodes' network: both are chosen if None.

        `uid_ranges` is how many nodes' uids are claimed on a host.
        """
        self._instance = instance
        self._shells = shells
        self._pool_bytes = pool_bytes
        self._claims = Claims(instance, network=network, uid_ranges=uid_ranges)

    async def measure(self, host: Host) -> HostReport:
        """Say what the host can do, by trying where that is possible. Changes nothing that lasts."""
        return await measure(self._shells(host), self._instance, host, now_s=time.time())

    async def ensure_prepared(self, host: Host) -> Claim:
        """Prepare the host: packages, kernel modules and settings, claim, storage pool. Returns what is claimed.

        The firewall's table comes with the first bridge. Raises `HostNotReady`, `NoAddressLeft`, `DiskFull`,
        `CommandFailed`.
        """
        log = structlog.get_logger().bind(host=host.name)
        shell = self._shells(host)
        provided = await provide(shell)
        _log_each(log, "host.package_installed", "package", provided.packages)
        _log_each(log, "host.setting_raised", "setting", provided.sysctls)
        _log_each(log, "host.module_kept_for_boot", "module", provided.modules)
        claim = await self._claims.ensure(shell, host)
        pool = await ensure_pool(shell, host, label=f"carina-{self._instance.prefix}", size_bytes=self._pool_bytes)
        log.info(
            "host.prepared", network=claim.network, uid_first=claim.uid_first, pool_made=pool.made,
            pool_mounted=pool.mounted,
        )  # fmt: skip
        return claim

    async def release(self, host: Host, *, purge: bool) -> None:
        """Take back what the host was given: bridges, firewall table, mounted pool; its nodes have to be gone.

        With `purge` the data goes too: pool, claim, uid ranges, and, with the last instance, the settings kept for the
        next boot. Packages stay. Nothing there is no error. Raises `CommandFailed`.
        """
        shell = self._shells(host)
        await LinuxFabric(self._instance, self._shells).remove_all(host)
        await unmount_pool(shell, host)
        if purge:
            await purge_pool(shell, host)
            await self._claims.release(shell)
            await shell.run(
                _FORGET_SETTINGS,
                args=(CLAIMS_DIR, SYSCTL_FILE, MODULES_FILE),
                timeout_s=_TIMEOUT_S,
                what="Removing settings for the next boot",
            )
        structlog.get_logger().info("host.released", host=host.name, purged=purge)


def _log_each(log: structlog.typing.FilteringBoundLogger, event: str, name: str, values: Sequence[str]) -> None:
    for value in values:
        log.info(event, **{name: value})
