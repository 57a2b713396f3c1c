"""The keeper of a connection: a small script on the host that lives as long as the connection does.

The scripts of the connection watch it and end when it has gone, be it that the connection was closed, was cut, or is
silent. It also ends a script on request: closing a script's channel alone ends nothing.
"""

import asyncio
import contextlib
import secrets

import asyncssh

from domain.errors import HostAccessDenied, HostNotReady
from drivers.shell import tail
from drivers.ssh_commands import command
from drivers.ssh_link import SshTarget

_SILENT_BEATS = 5
_BEATS_A_KEEP_ALIVE = 2  # so that the host takes a connection for cut earlier than its client does


class Keeper:
    """The keeper of one connection, which is given up when the keeper has gone."""

    def __init__(self, connection: asyncssh.SSHClientConnection, process: asyncssh.SSHClientProcess[bytes]) -> None:
        self.pid = 0
        self._connection = connection
        self._process = process
        self._ended: dict[int, asyncio.Event] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def start(cls, connection: asyncssh.SSHClientConnection, target: SshTarget, keep_alive_s: float) -> "Keeper":
        """Start the keeper, which shows too that scripts may run there as root.

        Raises `HostAccessDenied`, `HostNotReady`, and what asyncssh does.
        """
        mark = secrets.token_hex(8)
        beat_s = keep_alive_s / _BEATS_A_KEEP_ALIVE
        text = command(target, "ssh_keeper", mark, f"{beat_s * _SILENT_BEATS:g}")
        keeper = cls(connection, await connection.create_process(text, encoding=None))
        keeper.pid = await keeper._first_word(target, mark.encode())
        keeper._tasks = [asyncio.create_task(keeper._listen()), asyncio.create_task(keeper._beat(beat_s))]
        return keeper

    async def end(self, group: int) -> None:
        """Return when a process group on the host has ended, or the connection is gone."""
        ended = self._ended[group] = asyncio.Event()
        try:
            self._process.stdin.write(f"end {group}\n".encode())
            await ended.wait()
        except BrokenPipeError:
            return
        finally:
            del self._ended[group]

    async def stop(self) -> None:
        """Stop listening to the keeper; it ends with its connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _first_word(self, target: SshTarget, mark: bytes) -> int:
        """Return the keeper's process id, which it says first; raise what it means if it did not come to that."""
        async for line in self._process.stdout:
            _, found, pid = line.partition(mark)
            if found:
                return int(pid)
        said = tail(await self._process.stderr.read()) or "it did not say why"
        if target.user == "root":
            raise HostNotReady(f"{target}: bash does not run there: {said}", remedy="Install bash on the host.")
        raise HostAccessDenied(
            f"{target}: {target.user} can't work as root with 'sudo -n': {said}",
            remedy="Install sudo on the host, and let a file in its /etc/sudoers.d say "
            f"'{target.user} ALL=(ALL) NOPASSWD: ALL'.",
        )

    async def _listen(self) -> None:
        """Hear which groups have ended. When the keeper has gone, the connection is of no more use."""
        try:
            async for line in self._process.stdout:
                word, _, group = line.partition(b" ")
                if word == b"ended" and (ended := self._ended.get(int(group))):
                    ended.set()
        except asyncssh.Error:
            return  # the scripts of the connection tell that it was cut
        finally:
            self._connection.abort()
            for ended in self._ended.values():
                ended.set()

    async def _beat(self, every_s: float) -> None:
        """Let the keeper know that this side is there."""
        with contextlib.suppress(BrokenPipeError):
            while True:
                self._process.stdin.write(b"here\n")
                await asyncio.sleep(every_s)
