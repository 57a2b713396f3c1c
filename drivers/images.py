"""The node image on a host: a read-only btrfs subvolume named by the digest of its recipe. Fits `Images`."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from domain.allocation import uid_base
from domain.errors import DiskFull, HostNotReady, ImageUnavailable
from domain.hosts import Host
from drivers import image_recipe
from drivers.script_errors import explained
from drivers.shell import ScriptFailed, Shells, shell_of

CACHE_DIR = "/var/cache/carina"
"""Where a host keeps images for all instances on it, so that a second one need not build what the first one has."""

_BUILD_TIMEOUT_S = 900.0
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NodeImages:
    """Builds the node image from Debian's packages, or takes it from the host's cache.

    `progress` is told, in words for people, what is being done. Calls at once wait for one another; what a killed
    build left is cleared away by the next.
    """

    shells: Shells = shell_of
    cache_dir: str = CACHE_DIR
    progress: Callable[[str], None] | None = None

    async def ensure(self, host: Host) -> str:
        """Build the node image unless it is there, and return its digest.

        Raises `ImageUnavailable` (packages could not be had, or the image did not boot), `DiskFull`, `HostNotReady`.
        """
        if host.claim is None:
            raise HostNotReady(f"Host {host.name} has no claim of uids yet.")
        digest = image_recipe.digest()
        started = time.monotonic()
        args = (
            host.root,
            digest,
            self.cache_dir,
            image_recipe.SUITE,
            ",".join(image_recipe.PACKAGES),
            " ".join(image_recipe.EXCLUDED),
            image_recipe.PROBE_IMAGE,
            # The image boots once, in the uid range that is the last to go to a node.
            str(uid_base(host.claim, host.claim.uid_ranges - 1)),
        )
        try:
            await self.shells(host).run(
                image_recipe.script("image_ensure"),
                args=args,
                stdin=image_recipe.overlay(),
                timeout_s=_BUILD_TIMEOUT_S,
                what=f"Building the node image on {host.name}",
                on_line=self._tell,
            )
        except ScriptFailed as failure:
            error = explained(failure)
            if isinstance(error, DiskFull | HostNotReady):
                raise error from failure
            raise ImageUnavailable(error.detail) from failure
        _log.info("image.ready", image=digest[:12], took_s=round(time.monotonic() - started, 3))
        return digest

    def _tell(self, line: str) -> None:
        _log.info("image.progress", doing=line)
        if self.progress is not None:
            self.progress(line)
