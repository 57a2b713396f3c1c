"""One script that runs over a connection: its output as it comes, and how it ended."""

import asyncio
import signal
from collections.abc import Callable

import asyncssh

_UNNAMED_SIGNAL = 255
"""The exit status of a script that a signal without a name in SSH ended (RFC 4254, 6.10), as ssh(1) has it."""


class ScriptSession(asyncssh.SSHClientSession[bytes]):
    """What comes back from a script.

    Whatever a login shell says before `mark` is noise, and left out. `begun` is told the script's process group, or
    None if it never began; `closed` is set when the channel is gone, `over` then too, or when `failure` is known.
    """

    def __init__(self, mark: bytes, on_line: Callable[[str], None] | None) -> None:
        self.asked = False
        self.begun: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        self.closed = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()
        self.status: int | None = None
        self.cut = False
        self.failure: Exception | None = None
        self.channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._out = _Stream(mark, on_line)
        self._err = _Stream(mark, None)

    @property
    def stdout(self) -> bytes:
        """What the script has written to its standard output so far."""
        return b"".join(self._out.chunks)

    @property
    def stderr(self) -> bytes:
        """What the script has written to its standard error so far; if it never began, what was said instead."""
        return b"".join(self._err.chunks) if self._err.group is not None else bytes(self._err.noise)

    def fail(self, error: Exception) -> None:
        """End the wait for the script with an error of this side."""
        self.failure = self.failure or error
        self.over.set()

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """Take the channel; the request for the script follows at once."""
        self.channel = chan
        self.asked = True

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Take what the script, or what ran before it, has written."""
        try:
            (self._err if datatype == asyncssh.EXTENDED_DATA_STDERR else self._out).feed(data)
        except Exception as error:  # noqa: BLE001 - whatever `on_line` raises is for the caller of `run`
            self.fail(error)
        if self._out.group is not None and not self.begun.done():
            self.begun.set_result(self._out.group)

    def pause_writing(self) -> None:
        """Hold what is to be written: the script does not read as fast."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """Let more be written: the script has read."""
        self.writable.set()

    def exit_status_received(self, status: int) -> None:
        """Note how the script has ended."""
        self.status = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:  # noqa: ARG002, FBT001
        """Note the signal that has ended the script."""
        self.status = _status_of(signal)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the wait: all is said, or the connection is gone."""
        self.cut = exc is not None
        if not self.cut:
            try:
                self._out.end()
            except Exception as error:  # noqa: BLE001 - as above
                self.fail(error)
        if not self.begun.done():
            self.begun.set_result(None)
        self.writable.set()
        self.closed.set()
        self.over.set()


class _Stream:
    """One of a script's outputs: first noise, then the line with the mark, then what the script writes."""

    def __init__(self, mark: bytes, on_line: Callable[[str], None] | None) -> None:
        self.chunks: list[bytes] = []
        self.noise = bytearray()
        self.group: int | None = None
        self._mark = mark
        self._on_line = on_line
        self._partial = b""

    def feed(self, data: bytes) -> None:
        if self.group is None:
            self.noise += data
            _, found, rest = self.noise.partition(self._mark)
            number, line_end, output = rest.partition(b"\n")
            if not found or not line_end:
                return
            self.group = int(number)
            data = bytes(output)
        if data:
            self.chunks.append(data)
            self._tell(data)

    def end(self) -> None:
        if self._on_line and self._partial:
            self._on_line(_text(self._partial))

    def _tell(self, data: bytes) -> None:
        if self._on_line is None:
            return
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._on_line(_text(line))


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip()


def _status_of(name: str) -> int:
    try:
        return -signal.Signals[f"SIG{name}"]
    except KeyError:
        return _UNNAMED_SIGNAL
