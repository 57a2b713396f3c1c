"""Node images on hosts that don't build them: the streams that the control plane's machine has, sent over SSH.

A stream goes as it lies in the cache, compressed, into that of the host; the same script as everywhere compares its
checksum, and makes it one of the pool's images.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from domain.errors import DiskFull, ImageUnavailable
from domain.hosts import Host
from drivers import image_recipe
from drivers.script_errors import explained
from drivers.shell import ScriptFailed, Shells, tail

_LOOK_TIMEOUT_S = 60.0
_SEND_TIMEOUT_S = 3600.0
_MAKE_TIMEOUT_S = 900.0
_DISK_FULL = 28
_MOVED_ON = 72  # another transfer into the same file has come further, or the input ended early
_NOT_SENT = 74  # what was sent has another checksum, or can't be received, and is gone again
_TRIES = 3
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Stream:
    """What `btrfs send` made of an image, in a file, with the SHA-256 of that."""

    digest: str
    path: Path
    bytes: int
    sha256: str


Streams = Callable[[bool], Awaitable[Sequence[Stream]]]
"""Gives the streams of an image, that of its base first; if asked to, made anew."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a host has of an image: whether it is `there`; else the layers, whole streams, and parts of streams."""

    there: bool
    made: frozenset[str]
    whole: Mapping[str, str]
    """SHA-256 by digest."""
    parts: Mapping[tuple[str, str], int]
    """Bytes by digest and SHA-256 of the whole."""


def _receive_script() -> str:
    parts = ("image_sent", "image_ensure")
    return image_recipe.script("image_cache") + "".join(image_recipe.part(name) for name in parts)


def read_look(text: str) -> Looked:
    """Read what the script image_look.sh wrote. Pure."""
    lines = [line.split() for line in text.splitlines()]
    return Looked(
        there=["there"] in lines,
        made=frozenset(words[1] for words in lines if words[0] == "made"),
        whole={words[1]: words[2] for words in lines if words[0] == "whole"},
        parts={(words[1], words[2]): int(words[3]) for words in lines if words[0] == "part"},
    )


class Turns(defaultdict[str, asyncio.Lock]):
    """Who may send to a host, by its id."""

    def __init__(self) -> None:
        super().__init__(asyncio.Lock)


@dataclass(frozen=True, slots=True)
class ImageDelivery:
    """Brings images to hosts: one transfer to a host at a time, however many wait for it.

    `cache_dir` is that of the hosts; all deliveries share `turns`; `tell` is told, in words, what is being done.
    """

    shells: Shells
    cache_dir: str
    tell: Callable[[str], None]
    turns: Turns = field(default_factory=Turns)

    async def ensure(self, host: Host, base: str, digest: str, streams: Streams, uid_base: int) -> None:
        """Ensure that the image `digest`, on the base `base`, is in the host's pool.

        One that is there costs one round trip. A transfer that was cut goes on where it ended, here or when this is
        called again; one that arrived damaged, or can't be received, is done again, at last from streams made anew.
        Raises `DiskFull`, `HostNotReady`, `ImageUnavailable`, `CommandFailed`.
        """
        if (await self._look(host, base, digest)).there:
            return
        async with self.turns[host.id]:
            for attempt in range(_TRIES):
                anew = attempt == _TRIES - 1
                found = await streams(anew)
                if anew:
                    await self._run(host, "image_anew", host.root, self.cache_dir, base, digest)
                if await self._deliver(host, base, digest, found, uid_base):
                    return
                _log.warning("image.not_received", host=host.name, image=digest[:12], tries_left=_TRIES - attempt - 1)
        raise ImageUnavailable(
            f"{host.name} can't receive the node image {digest[:12]}: it arrived damaged, or of another descent, "
            f"{_TRIES} times.",
            remedy="Look at the disks and the memory of both machines; then prepare the host again.",
        )

    async def _deliver(self, host: Host, base: str, digest: str, streams: Sequence[Stream], uid_base: int) -> bool:
        """Send what the host lacks, and let it make the image of that; return whether it could."""
        looked = await self._look(host, base, digest)
        if looked.there:
            return True
        for stream in streams:
            if stream.digest in looked.made or looked.whole.get(stream.digest) == stream.sha256:
                continue
            await self._send(host, base, digest, stream, looked.parts.get((stream.digest, stream.sha256), 0))
        args = (host.root, self.cache_dir, str(uid_base), "", "", "", "", base, "", digest, "")
        try:
            await self.shells(host).run(
                _receive_script(),
                args=args,
                timeout_s=_MAKE_TIMEOUT_S,
                what=f"Unpacking the node image on {host.name}",
                on_line=self.tell,
            )
        except ScriptFailed as failure:
            if failure.exit_status == _NOT_SENT:
                return False
            raise explained(failure) from failure
        return True

    async def _send(self, host: Host, base: str, digest: str, stream: Stream, offset: int) -> None:
        """Send a stream from `offset` on, unless another call does."""
        while True:
            began = time.monotonic()
            self.tell(f"sending {(stream.bytes - offset) / 2**20:.0f} MiB of the node image to {host.name}")
            args = (self.cache_dir, stream.digest, stream.sha256, str(stream.bytes), str(offset))
            try:
                await self.shells(host).run(
                    image_recipe.script("image_store"),
                    args=args,
                    stdin=stream.path,
                    offset=offset,
                    timeout_s=_SEND_TIMEOUT_S,
                    what=f"Sending the node image to {host.name}",
                )
            except ScriptFailed as failure:
                if failure.exit_status != _MOVED_ON:
                    raise self._meaning(host, failure) from failure
            else:
                took_s = round(time.monotonic() - began, 3)
                sent = stream.bytes - offset
                _log.info("image.sent", host=host.name, image=stream.digest[:12], bytes=sent, took_s=took_s)
                return
            looked = await self._look(host, base, digest)
            if looked.there or looked.whole.get(stream.digest) == stream.sha256:
                return
            before, offset = offset, looked.parts.get((stream.digest, stream.sha256), 0)
            if offset <= before or offset >= stream.bytes:
                return  # the file here is another by now; what arrived is not whole, and is found to be so

    def _meaning(self, host: Host, failure: ScriptFailed) -> Exception:
        if failure.exit_status == _DISK_FULL or b"No space left" in failure.stderr:
            return DiskFull(
                f"{host.name} has no room for the node image: {tail(failure.stderr)}",
                remedy=f"Free some space in {self.cache_dir} on {host.name}, then try again.",
            )
        return explained(failure)

    async def _look(self, host: Host, base: str, digest: str) -> Looked:
        return read_look(await self._run(host, "image_look", host.root, self.cache_dir, base, digest))

    async def _run(self, host: Host, name: str, *args: str) -> str:
        what = f"Looking for the node image on {host.name}"
        try:
            result = await self.shells(host).run(
                image_recipe.script(name), args=args, timeout_s=_LOOK_TIMEOUT_S, what=what
            )
        except ScriptFailed as failure:
            raise explained(failure) from failure
        return result.text
