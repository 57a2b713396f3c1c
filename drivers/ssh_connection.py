"""One connection to a host: it is watched over, and carries scripts side by side."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Self

import asyncssh

from domain.errors import HostNotReady, HostUnreachable
from drivers.shell import Result, ScriptFailed, ScriptTimedOut, tail
from drivers.ssh_commands import command
from drivers.ssh_keeper import Keeper
from drivers.ssh_keys import reason
from drivers.ssh_link import SshTarget, link
from drivers.ssh_session import ScriptSession

SESSIONS = 9
"""Scripts at a time on a connection: sshd allows 10 sessions (its MaxSessions), and the keeper is one."""

_ANSWER_S = 10.0  # for what a host answers at once, however busy it is
_END_S = 5.0  # what scripts/ssh_end.sh takes at most
_REFUSALS = 3
_REFUSED_S = 0.05


class ScriptCut(HostUnreachable):
    """The connection was cut while a script was under way: it may have run, wholly or in part."""


class NotBegun(HostUnreachable):
    """The connection turned out to be gone before a script was asked for: it has not run."""


class SessionRefused(HostUnreachable):
    """The host lets no further script run over this connection: it has not run."""


class Connection:
    """A connection that is up. `active` counts the scripts that have a place on it, `room` how many may."""

    def __init__(self, target: SshTarget, over: asyncssh.SSHClientConnection, keeper: Keeper) -> None:
        self.active = 0
        self.room = SESSIONS
        self._target = target
        self._over = over
        self._keeper = keeper
        self._endings: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, target: SshTarget, keep_alive_s: float) -> Self:
        """Connect, within 10 s, and start the keeper, within 10 s. Raises what `link` and `Keeper.start` do."""
        over = await link(target, keep_alive_s)
        try:
            async with asyncio.timeout(_ANSWER_S):
                keeper = await Keeper.start(over, target, keep_alive_s)
        except BaseException as error:
            over.abort()
            if isinstance(error, OSError | asyncssh.Error):
                raise HostUnreachable(f"{target}: {reason(error)}") from error
            raise
        return cls(target, over, keeper)

    @property
    def closed(self) -> bool:
        """Whether the connection is gone."""
        return self._over.is_closed()

    async def close(self) -> None:
        """End the connection, and with it all that still runs over it."""
        await self._keeper.stop()
        self._over.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait_closed(), _END_S)
        self._over.abort()

    async def run(
        self,
        script: str,
        *,
        args: Sequence[str],
        chunks: AsyncIterator[bytes],
        timeout_s: float,
        what: str,
        on_line: Callable[[str], None] | None,
    ) -> Result:
        """See `Shell.run`; `chunks` are the standard input. Raises also `ScriptCut`, `NotBegun`, `SessionRefused`."""
        mark = secrets.token_hex(8)
        session = ScriptSession(mark.encode(), on_line)
        text = command(self._target, "ssh_script", mark, str(self._keeper.pid), script, *args)
        starting = asyncio.create_task(self._start(session, text, what))
        feeding = asyncio.create_task(_feed(session, starting, chunks))
        try:
            async with asyncio.timeout(timeout_s) as limit:
                # Shielded: what a caller who has left had asked for is there none the less, and has to be ended.
                await asyncio.shield(starting)
                await session.over.wait()
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise ScriptTimedOut(f"{what}: it did not end in {timeout_s:g} s, and was ended.") from error
        finally:
            feeding.cancel()
            ending = asyncio.create_task(self._end(session, starting, feeding))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)
            await asyncio.shield(ending)
        return self._outcome(session, what)

    async def _start(self, session: ScriptSession, text: str, what: str) -> None:
        """Ask for a script to be run; again if refused, as the place of one that ended may be free a moment later."""
        for refusals in range(_REFUSALS):
            if refusals:
                await asyncio.sleep(_REFUSED_S)
            if self.closed:
                break
            try:
                await self._over.create_session(lambda: session, text, encoding=None)
            except (OSError, asyncssh.Error) as error:
                if session.asked and self.closed:
                    raise self._cut(what) from error
                if session.asked:
                    raise HostNotReady(f"{what}: {self._target}: the host refuses to run commands.") from error
            else:
                return
        if self.closed:
            raise NotBegun(f"{what}: {self._target}: the connection was cut. The script has not run.")
        raise SessionRefused(f"{what}: {self._target}: the host refuses another session. The script has not run.")

    def _outcome(self, session: ScriptSession, what: str) -> Result:
        """Return what a script wrote that is over, or raise the error that it amounts to."""
        if session.failure is not None:
            raise session.failure
        if session.status is None or session.cut:
            raise self._cut(what)
        if session.begun.result() is None:
            said = tail(session.stderr) or "it did not say why"
            raise HostUnreachable(f"{what}: {self._target}: the script was not begun: {said}")
        if session.status != 0:
            raise ScriptFailed(what, session.status, session.stdout, session.stderr)
        return Result(session.stdout, session.stderr)

    def _cut(self, what: str) -> ScriptCut:
        return ScriptCut(
            f"{what}: {self._target}: the connection was cut while the script was under way. "
            "It may have run, wholly or in part; the host ends what is left of it."
        )

    async def _end(self, session: ScriptSession, starting: asyncio.Task[None], feeding: asyncio.Task[None]) -> None:
        """Return when neither the script nor anything that it runs in the foreground lives.

        Without an answer from the host the whole connection is given up: then the host ends its scripts by itself.
        """
        try:
            async with asyncio.timeout(_ANSWER_S + _END_S):
                await asyncio.wait({starting, feeding})
                if session.channel is not None and not session.closed.is_set():
                    group = await session.begun
                    if group is not None:
                        await self._keeper.end(group)
                    session.channel.abort()
                    await session.closed.wait()
        except TimeoutError:
            self._over.abort()
            await asyncio.wait({starting})
        starting.exception()  # the caller knows, unless it has left


async def _feed(session: ScriptSession, starting: asyncio.Task[None], chunks: AsyncIterator[bytes]) -> None:
    """Send a script its standard input, no faster than it is read there."""
    await asyncio.wait({starting})
    if session.channel is None:
        return
    try:
        async for chunk in chunks:
            await session.writable.wait()
            session.channel.write(chunk)
        session.channel.write_eof()
    except BrokenPipeError:
        return  # it has ended; it need not read all
    except OSError as error:
        session.fail(error)  # the file can't be read
