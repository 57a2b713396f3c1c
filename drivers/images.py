"""Node images on a host: read-only btrfs subvolumes named by the digests of their recipes. Fits `Images`."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog

from domain.allocation import uid_base
from domain.clusters import COE_KUBERNETES, ClusterType
from domain.errors import DiskFull, HostNotReady, ImageUnavailable
from domain.hosts import Host
from drivers import image_recipe, image_recipe_base
from drivers.image_recipe import BASE, KUBERNETES, SWARM
from drivers.releases import Releases
from drivers.script_errors import explained
from drivers.shell import ScriptFailed, Shells, shell_of

CACHE_DIR = "/var/cache/carina"
"""Where a host keeps images for all instances on it, so that a second one need not build what the first one has."""

RELEASES_DIR = Path("/var/lib/carina/releases")
"""Where the releases of an instance with the default home are."""

_BUILD_TIMEOUT_S = 900.0
_log = structlog.get_logger()


class ReleaseFiles(Protocol):
    """A release: its `path` has the programs in `bin`, and `digest` is that of all of them."""

    @property
    def digest(self) -> str:
        """The digest of what the release is made of."""
        ...

    @property
    def path(self) -> Path:
        """Where it is, on the machine of the control plane."""
        ...


class ReleaseShelf(Protocol):
    """Where releases are kept."""

    def get(self, name: str, version: str) -> ReleaseFiles:
        """Return a release; raise `ReleaseMissing` if it is not there."""
        ...


@dataclass(frozen=True, slots=True)
class NodeImages:
    """Builds node images from Debian's packages and releases, or takes them from the host's cache.

    `progress` is told, in words for people, what is being done. Calls at once wait for one another; what a killed
    build left is cleared away by the next.
    """

    shells: Shells = shell_of
    cache_dir: str = CACHE_DIR
    progress: Callable[[str], None] | None = None
    releases: ReleaseShelf = field(default_factory=lambda: Releases(RELEASES_DIR))

    async def ensure(self, host: Host, kind: ClusterType) -> str:
        """Build the image of a cluster type's nodes unless it is there, and return its digest.

        Raises `ReleaseMissing`, `ImageUnavailable` (packages could not be had, or the image did not boot), `DiskFull`,
        `HostNotReady`.
        """
        if host.claim is None:
            raise HostNotReady(f"Host {host.name} has no claim of uids yet.")
        base = BASE.digest()
        if kind.coe == COE_KUBERNETES:
            release = self.releases.get(kind.coe, kind.version)
            layer, digest, path = KUBERNETES, KUBERNETES.digest(base, release.digest), str(release.path)
        else:
            layer, digest, path = SWARM, SWARM.digest(base), ""
        started = time.monotonic()
        args = (
            host.root,
            self.cache_dir,
            # The image boots once, in the uid range that is the last to go to a node.
            str(uid_base(host.claim, host.claim.uid_ranges - 1)),
            image_recipe_base.SUITE,
            " ".join(image_recipe_base.EXCLUDED),
            image_recipe.PROBE_IMAGE,
            path,
            base,
            ",".join(BASE.packages),
            digest,
            ",".join(layer.packages),
        )
        try:
            await self.shells(host).run(
                image_recipe.image_script(layer),
                args=args,
                stdin=image_recipe.archive({"base.tar": BASE.overlay(), "kind.tar": layer.overlay()}),
                timeout_s=_BUILD_TIMEOUT_S,
                what=f"Building the node image for {kind.name} on {host.name}",
                on_line=self._tell,
            )
        except ScriptFailed as failure:
            error = explained(failure)
            if isinstance(error, DiskFull | HostNotReady):
                raise error from failure
            raise ImageUnavailable(error.detail) from failure
        _log.info("image.ready", kind=kind.name, image=digest[:12], took_s=round(time.monotonic() - started, 3))
        return digest

    def _tell(self, line: str) -> None:
        _log.info("image.progress", doing=line)
        if self.progress is not None:
            self.progress(line)
