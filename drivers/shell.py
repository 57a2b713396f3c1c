"""The one seam to a host: a bash script is run there, with its arguments and its standard input.

Values reach a script as positional arguments, never pasted into its text; secrets and files come on standard input.
A driver does a whole step in one script, so that a step costs one round trip however far away the host is.
"""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from domain.errors import CommandFailed, HostNotReady
from domain.hosts import Host
from drivers.process_groups import group_runs

LOCAL = "local"
"""The address of the machine that Carina itself runs on."""

_TAIL_CHARS = 1500
_GRACE_S = 2.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Result:
    """What a script that succeeded wrote."""

    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.stdout.decode(errors="replace")


class ScriptFailed(CommandFailed):
    """A script ended with an error. `exit_status` is negative for a signal that ended it."""

    def __init__(self, what: str, status: int, stdout: bytes, stderr: bytes) -> None:
        self.what = what
        self.exit_status = status
        self.stdout = stdout
        self.stderr = stderr
        super().__init__(f"{what}: {describe_status(status)}: {tail(stderr) or 'it said nothing'}")


class ScriptTimedOut(CommandFailed):
    """A script did not end in the time that it had, and was ended."""


class Shell(Protocol):
    """Runs scripts on one host."""

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
        """Run `script` with bash, `args` being $1 and so on, and return what it wrote.

        A `Path` as `stdin` is a file of this machine, which is never read into memory as a whole, from its byte
        number `offset` on; one that can't be opened raises `OSError`. `what` names the step in errors; `on_line` is
        told each line of standard output as it comes. If the caller is cancelled, or `timeout_s` has passed, the
        script and all that it runs in the foreground have ended when this returns. Raises `ScriptFailed`,
        `ScriptTimedOut`.
        """
        ...


Shells = Callable[[Host], Shell]
"""Gives the shell of a host."""


class LocalShell:
    """Runs scripts on this machine, each in a process group of its own."""

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
        """See `Shell.run`."""
        with _input(stdin, offset) as source:
            process = await _started(script, args, source)
        text = stdin if isinstance(stdin, bytes) else None
        try:
            stdout, stderr = await asyncio.wait_for(_communicate(process, text, on_line), timeout_s)
        except TimeoutError as error:
            raise ScriptTimedOut(f"{what}: it did not end in {timeout_s:g} s, and was ended.") from error
        finally:
            # When all went well there is nothing to end. When not (a timeout, a cancelled caller), whoever comes
            # next, such as an undo, must not race a script that still runs.
            if process.returncode is None:
                await asyncio.shield(_end_group(process))
        status = await process.wait()
        if status != 0:
            raise ScriptFailed(what, status, stdout, stderr)
        return Result(stdout, stderr)


def shell_of(host: Host) -> Shell:
    """Return the shell of the local host; raise `HostNotReady` for another, which takes `drivers.shells.HostShells`."""
    if host.address != LOCAL:
        raise HostNotReady(f"Host {host.name} ({host.address}) can't be reached: only this machine can, from here.")
    return LocalShell()


def tail(output: bytes, chars: int = _TAIL_CHARS) -> str:
    """Return the end of a command's output as text, cut at the front."""
    text = output.decode(errors="replace").strip()
    return text if len(text) <= chars else f"...{text[-chars:]}"


def describe_status(status: int) -> str:
    """Return what an exit status means, in words."""
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    return f"exit status {status}"


@contextlib.contextmanager
def _input(stdin: bytes | Path, offset: int) -> Iterator[int | IO[bytes]]:
    """Yield what a process gets as its standard input: a pipe to write to, or the very file, which it reads itself."""
    if isinstance(stdin, bytes):
        yield PIPE
    else:
        with stdin.open("rb") as file:
            file.seek(offset)
            yield file


async def _started(script: str, args: Sequence[str], source: int | IO[bytes]) -> Process:
    """Start a script. If the caller is cancelled meanwhile, it has ended when this raises.

    Cancelled itself, asyncio's own start may wait for ever for pipes that it has not opened yet, and the script runs.
    """
    starting = asyncio.create_task(
        asyncio.create_subprocess_exec(
            "bash", "-c", script, "carina", *args, stdin=source, stdout=PIPE, stderr=PIPE, start_new_session=True
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.shield(_end_started(starting))
        raise


async def _end_started(starting: asyncio.Task[Process]) -> None:
    """End a script that nobody waits for any more, once it has started."""
    with contextlib.suppress(OSError):
        await _end_group(await starting)


async def _communicate(
    process: Process, stdin: bytes | None, on_line: Callable[[str], None] | None
) -> tuple[bytes, bytes]:
    """Feed and read a process until it ends, telling `on_line` its lines; return what it wrote.

    `stdin` is None for a process that has its standard input from elsewhere.
    """
    if on_line is None:
        return await process.communicate(stdin)
    stdout, stderr = process.stdout, process.stderr
    if stdout is None or stderr is None:
        raise ValueError("the process was not started with pipes")

    async def feed() -> None:
        if stdin is None or process.stdin is None:
            return
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not read all
            process.stdin.write(stdin)
            await process.stdin.drain()
        process.stdin.close()

    async def read_lines() -> bytes:
        lines = []
        async for line in stdout:
            lines.append(line)
            on_line(line.decode(errors="replace").rstrip())
        return b"".join(lines)

    _, written, errors = await asyncio.gather(feed(), read_lines(), stderr.read())
    await process.wait()
    return written, errors


async def _end_group(process: Process) -> None:
    """End the process group of a script: politely, then not, and wait, within a bound, until none of it is left."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_group_gone(process), _GRACE_S)
            return


async def _group_gone(process: Process) -> None:
    """Return when the script's process and all others of its group have ended."""
    await process.wait()
    # Beside the event loop, since the machine's processes are also those of all its nodes.
    while await asyncio.to_thread(group_runs, process.pid):  # noqa: ASYNC110 - a group tells of itself only when asked
        await asyncio.sleep(_POLL_S)
