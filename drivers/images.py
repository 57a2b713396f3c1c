"""Node images on a host: read-only btrfs subvolumes named by the digests of their recipes. Fits `Images`."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog

from domain.allocation import uid_base
from domain.clusters import COE_KUBERNETES, ClusterType, cluster_types
from domain.errors import DiskFull, HostNotReady, ImageUnavailable, ReleaseMissing
from domain.hosts import Host
from drivers import image_recipe, image_recipe_base
from drivers.image_delivery import ImageDelivery, Stream, Turns
from drivers.image_recipe import BASE, KUBERNETES, SWARM, Layer
from drivers.releases import Releases
from drivers.script_errors import explained
from drivers.shell import ScriptFailed, Shells, shell_of

CACHE_DIR = "/var/cache/carina"
"""Where a host keeps images for all instances on it, so that a second one need not build what the first one has."""

RELEASES_DIR = Path("/var/lib/carina/releases")
"""Where the releases of an instance with the default home are."""

COLLECT_GRACE_S = 24 * 3600
"""How long an image that nobody seems to need is kept after it was last asked for."""

_BUILD_TIMEOUT_S = 900.0
_COLLECT_TIMEOUT_S = 600.0
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
class Recipe:
    """What makes the image of one kind of node: a layer on the base, both named by digests, and a release's path."""

    layer: Layer
    base: str
    digest: str
    release: str


@dataclass(frozen=True, slots=True)
class NodeImages:
    """Builds node images from Debian's packages and releases, once, on the control plane's machine.

    Other hosts get what is in its cache (`cache_dir`, the same path on all machines), sent over SSH. `builder` gives
    that machine as a host; it may block. While it is none, or is not prepared, another host still gets what the cache
    has, and for the rest `HostNotReady` is raised: a control plane that is no host itself needs a cache that was filled
    elsewhere. `progress` is told, in words for people, what is being done; images of `kinds` are never old. Calls at
    once wait for one another; what a killed build left is cleared away by the next.
    """

    shells: Shells = shell_of
    cache_dir: str = CACHE_DIR
    progress: Callable[[str], None] | None = None
    releases: ReleaseShelf = field(default_factory=lambda: Releases(RELEASES_DIR))
    builder: Callable[[], Host | None] = lambda: None
    kinds: Sequence[ClusterType] = field(default_factory=cluster_types)
    _building: asyncio.Lock = field(default_factory=asyncio.Lock)
    _turns: Turns = field(default_factory=Turns)

    async def ensure(self, host: Host, kind: ClusterType) -> str:
        """Ensure that the image of a cluster type's nodes is on the host, and return its digest.

        The local host builds it, another one is sent it. Raises `ReleaseMissing`, `ImageUnavailable` (packages could
        not be had, the image did not boot, or could not be received), `DiskFull`, `HostNotReady`, `CommandFailed`.
        """
        recipe = self._recipe(kind)
        if host.claim is None:
            raise HostNotReady(f"Host {host.name} has no claim of uids yet.")
        started = time.monotonic()
        if host.local:
            await self._build(host, recipe, kind)
        else:
            delivery = ImageDelivery(self.shells, self.cache_dir, self._tell, self._turns)

            async def streams(anew: bool) -> Sequence[Stream]:  # noqa: FBT001 - see `Streams`
                return await self._streams(recipe, kind, anew=anew)

            uids = uid_base(host.claim, host.claim.uid_ranges - 1)
            await delivery.ensure(host, recipe.base, recipe.digest, streams, uids)
        took_s = round(time.monotonic() - started, 3)
        _log.info("image.ready", host=host.name, kind=kind.name, image=recipe.digest[:12], took_s=took_s)
        return recipe.digest

    async def collect(self, host: Host) -> Sequence[str]:
        """Remove old images from the host's pool and cache, and return the digests of what went.

        Those stay that present recipes name, that a node on the host was made of, and that were asked for within
        `COLLECT_GRACE_S`. Raises `CommandFailed`.
        """
        args = (host.root, self.cache_dir, str(COLLECT_GRACE_S // 60), *sorted(await asyncio.to_thread(self.current)))
        result = await self.shells(host).run(
            image_recipe.script("image_collect"),
            args=args,
            timeout_s=_COLLECT_TIMEOUT_S,
            what=f"Removing old node images on {host.name}",
        )
        gone = sorted(set(result.text.split()))
        for digest in gone:
            _log.info("image.collected", host=host.name, image=digest[:12])
        return gone

    def current(self) -> frozenset[str]:
        """Return the digests that present recipes name: of the base, and of each kind of which there is a release."""
        found = {BASE.digest()}
        for kind in self.kinds:
            with contextlib.suppress(ReleaseMissing):
                found.add(self._recipe(kind).digest)
        return frozenset(found)

    def _recipe(self, kind: ClusterType) -> Recipe:
        """Return what makes an image. Raises `ReleaseMissing`."""
        base = BASE.digest()
        if kind.coe == COE_KUBERNETES:
            release = self.releases.get(kind.coe, kind.version)
            return Recipe(KUBERNETES, base, KUBERNETES.digest(base, release.digest), str(release.path))
        return Recipe(SWARM, base, SWARM.digest(base), "")

    async def _streams(self, recipe: Recipe, kind: ClusterType, *, anew: bool) -> Sequence[Stream]:
        """Return the streams of an image and its base from this machine's cache, once they are there.

        With `anew`, what is in the cache is not trusted: it is made from the pool again.
        """
        digests = (recipe.base, recipe.digest)
        async with self._building:
            found = None if anew else await asyncio.to_thread(self._cached, digests)
            if found is None:
                await self._fill_cache(recipe, kind, anew=anew)
                found = await asyncio.to_thread(self._cached, digests)
        if found is None:
            raise ImageUnavailable(f"The node image {recipe.digest[:12]} could not be kept in {self.cache_dir}.")
        return found

    async def _fill_cache(self, recipe: Recipe, kind: ClusterType, *, anew: bool) -> None:
        builder = await asyncio.to_thread(self.builder)
        if builder is None or builder.claim is None:
            raise HostNotReady(
                f"The node image for {kind.name} is not in {self.cache_dir}, and the control plane's own machine "
                "is not prepared to build it.",
                remedy="Wait until the host 'local' is ready; without one, copy the cache of a machine that has it.",
            )
        await self._build(builder, recipe, kind)
        args = (builder.root, self.cache_dir, recipe.base, recipe.digest, "yes" if anew else "")
        await self._run(
            builder,
            image_recipe.script("image_cache") + image_recipe.part("image_export"),
            args,
            b"",
            f"Keeping the node image for {kind.name} in {self.cache_dir}",
        )

    def _cached(self, digests: Sequence[str]) -> Sequence[Stream] | None:
        """Return the streams of images in this machine's cache, None unless it has them all. They count as used."""
        found = []
        for digest in digests:
            path = Path(self.cache_dir) / f"{digest}.btrfs.zst"
            sums = path.with_name(f"{path.name}.sha256")
            try:
                found.append(Stream(digest, path, path.stat().st_size, sums.read_text().split()[0]))
                for file in (path, sums):
                    os.utime(file)
            except FileNotFoundError:
                return None
        return found

    async def _build(self, host: Host, recipe: Recipe, kind: ClusterType) -> None:
        if host.claim is None:
            raise HostNotReady(f"Host {host.name} has no claim of uids yet.")
        args = (
            host.root,
            self.cache_dir,
            # The image boots once, in the uid range that is the last to go to a node.
            str(uid_base(host.claim, host.claim.uid_ranges - 1)),
            image_recipe_base.SUITE,
            " ".join(image_recipe_base.EXCLUDED),
            image_recipe.PROBE_IMAGE,
            recipe.release,
            recipe.base,
            ",".join(BASE.packages),
            recipe.digest,
            ",".join(recipe.layer.packages),
        )
        files = image_recipe.archive({"base.tar": BASE.overlay(), "kind.tar": recipe.layer.overlay()})
        what = f"Building the node image for {kind.name} on {host.name}"
        await self._run(host, image_recipe.image_script(recipe.layer), args, files, what)

    async def _run(self, host: Host, script: str, args: Sequence[str], stdin: bytes, what: str) -> None:
        try:
            await self.shells(host).run(
                script, args=args, stdin=stdin, timeout_s=_BUILD_TIMEOUT_S, what=what, on_line=self._tell
            )
        except ScriptFailed as failure:
            error = explained(failure)
            if isinstance(error, DiskFull | HostNotReady):
                raise error from failure
            raise ImageUnavailable(error.detail) from failure

    def _tell(self, line: str) -> None:
        _log.info("image.progress", doing=line)
        if self.progress is not None:
            self.progress(line)
