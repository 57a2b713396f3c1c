"""Scripts on a host that is reached over SSH, by connections that are kept."""

import asyncio
import io
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import structlog

from domain.errors import CarinaError, HostNotReady, HostUnreachable
from drivers.shell import Result
from drivers.ssh_connection import Connection, NotBegun, ScriptCut, SessionRefused
from drivers.ssh_keys import HostKey, presented_key
from drivers.ssh_link import SshTarget

__all__ = ["HostKey", "ScriptCut", "SshShell", "SshTarget", "presented_key"]

KEEP_ALIVE_S = 15.0
"""A host that has not answered for four times as long is gone."""

MAX_CONNECTIONS = 4
"""Connections to one host: a further one is made only when all places on those before it are taken."""

MORE_AFTER_S = 5.0
"""The pause after a further connection could not be made: those that there are go on meanwhile."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
_CHUNK_BYTES = 256 * 2**10


class SshShell:
    """Runs scripts on one host, as root, each in a process group of its own.

    Connections are made when they are needed, kept, and made anew after they were cut. `timeout_s` of `run` counts
    from the moment that a script has its place on a connection.
    """

    def __init__(self, target: SshTarget, *, keep_alive_s: float = KEEP_ALIVE_S) -> None:
        self.target = target
        self._keep_alive_s = keep_alive_s
        self._connections: list[Connection] = []
        self._opening: asyncio.Task[CarinaError | None] | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._closed = False
        self._more_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self.scripts: Counter[str] = Counter()
        """How many scripts were asked for, by what they did: each costs a round trip."""

    async def run(
        self,
        script: str,
        *,
        args: Sequence[str] = (),
        stdin: bytes | Path = b"",
        offset: int = 0,
        timeout_s: float,
        what: str = "A script",
        on_line: Callable[[str], None] | None = None,
    ) -> Result:
        """See `Shell.run`.

        Raises also `HostUnreachable` if the script has not run, `ScriptCut` (one of it) if it may have; both may be
        tried again. `HostKeyChanged` and `HostAccessDenied` are final.
        """
        self._stay_on_one_loop()
        self.scripts[what] += 1
        _log.debug("ssh.script", host=self.target.address, what=what)
        with await asyncio.to_thread(_opened, stdin, offset) as source:
            while True:
                connection = await self._place()
                try:
                    return await connection.run(
                        script,
                        args=args,
                        chunks=_chunks(source),
                        timeout_s=timeout_s,
                        what=what,
                        on_line=on_line,
                    )
                except NotBegun:
                    continue  # a kept connection that was gone, as is seen only when it is used
                except SessionRefused as error:
                    connection.room = connection.active - 1
                    if connection.room == 0:
                        raise _too_few_sessions(self.target) from error
                finally:
                    connection.active -= 1
                    self._tell()

    async def close(self) -> None:
        """End all connections, and with them what still runs over them, for good."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        connections, self._connections = self._connections, []
        await asyncio.gather(*(connection.close() for connection in connections))

    def _stay_on_one_loop(self) -> None:
        """Raise `RuntimeError` on another event loop than that of the first script: connections live on one."""
        loop = asyncio.get_running_loop()
        if self._loop not in {None, loop}:
            raise RuntimeError(f"{self.target}: its connections belong to another event loop")
        self._loop = loop

    async def _place(self) -> Connection:
        """Return a connection with a place taken on it, as soon as there is one."""
        while not self._closed:
            self._connections = [connection for connection in self._connections if not connection.closed]
            for connection in self._connections:
                if connection.active < connection.room:
                    connection.active += 1
                    return connection
            if self._opening is None and self._may_open():
                self._opening = asyncio.create_task(self._open())
            if self._connections or self._opening is None:
                await self._news()
                continue
            opening = self._opening
            await asyncio.wait({opening})  # shared: nobody's leaving ends it
            if not opening.cancelled() and (error := opening.result()):
                raise error
        raise HostUnreachable(f"{self.target}: this side has closed its connections. The script has not run.")

    def _may_open(self) -> bool:
        """Whether a connection may be tried now: the first one always."""
        there = len(self._connections)
        return there == 0 or (there < MAX_CONNECTIONS and asyncio.get_running_loop().time() >= self._more_at)

    async def _open(self) -> CarinaError | None:
        """Add a connection; return the error if that fails, for all who wait for it."""
        try:
            connection = await Connection.open(self.target, self._keep_alive_s)
            self._connections.append(connection)
        except CarinaError as error:
            if self._connections:
                _log.warning("ssh.no_further_connection", host=self.target.address, reason=error.detail)
                self._more_at = asyncio.get_running_loop().time() + MORE_AFTER_S
            return error
        finally:
            self._opening = None
            self._tell()
        return None

    async def _news(self) -> None:
        """Wait until a place is free, or a connection was made or not made."""
        news = asyncio.get_running_loop().create_future()
        self._waiting.append(news)
        await news

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for news in waiting:
            if not news.done():
                news.set_result(None)


def _opened(stdin: bytes | Path, offset: int) -> BinaryIO:
    if isinstance(stdin, bytes):
        return io.BytesIO(stdin)
    file = stdin.open("rb")
    file.seek(offset)
    return file


async def _chunks(source: BinaryIO) -> AsyncIterator[bytes]:
    """Yield a standard input piece by piece. Only what is in memory is read without a thread."""
    while chunk := source.read(_CHUNK_BYTES) if isinstance(source, io.BytesIO) else await _read(source):
        yield chunk


async def _read(file: BinaryIO) -> bytes:
    return await asyncio.to_thread(file.read, _CHUNK_BYTES)


def _too_few_sessions(target: SshTarget) -> HostNotReady:
    return HostNotReady(
        f"{target}: the host allows one session for each connection only.",
        remedy="Raise MaxSessions in the host's /etc/ssh/sshd_config, to 10 or more.",
    )
