"""An archive on its way to the service: read part by part, its bytes counted before a person's eyes."""

import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from carina_cli.errors import CliError, Missing, UsageMistake
from carina_cli.output import colours_wanted, size

PART_BYTES = 1 << 20
STDIN = "-"
_REFRESH_S = 0.1
_CLEAR_LINE = "\r\x1b[2K"


class Archive(NamedTuple):
    """An archive that is being read: its parts, none of them empty, and its size where that is known beforehand."""

    parts: Iterator[bytes]
    total_bytes: int | None


@contextmanager
def opened(source: str) -> Iterator[Archive]:
    """Open the file `source`, or standard input for "-".

    Raises `Missing` if there is no such file, `UsageMistake` if it can't be an archive: a directory, a terminal, or
    nothing at all.
    """
    if source == STDIN:
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageMistake(
                "There is no archive on standard input.",
                remedy="Name a file, or pipe one in: docker save IMAGE | carina images load CLUSTER -",
            )
        yield _archive(sys.stdin.buffer, "standard input")
        return
    try:
        file = Path(source).expanduser().open("rb")
    except FileNotFoundError as error:
        raise Missing(f"There is no file {source!r}.") from error
    except OSError as error:
        raise UsageMistake(f"{source!r} can't be read: {error.strerror}.") from error
    with file:
        yield _archive(file, repr(source))


@contextmanager
def meter(total_bytes: int | None) -> Iterator[Callable[[Iterable[bytes]], Iterator[bytes]]]:
    """Give what lets parts through while a line on stderr counts them: on a terminal; else nothing is written."""
    if not colours_wanted(sys.stderr):
        yield iter
        return
    counter = _Counter(total_bytes)
    try:
        yield counter.through
    finally:
        counter.show("\n")


class _Counter:
    """Counts bytes, and shows how many went and how quickly."""

    def __init__(self, total_bytes: int | None) -> None:
        self._of = "" if total_bytes is None else f" of {size(total_bytes)}"
        self._began = time.monotonic()
        self._sent = 0

    def through(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the parts, counting each once it is taken."""
        due = self._began
        for part in parts:
            yield part
            self._sent += len(part)
            if time.monotonic() >= due:
                self.show("")
                due = time.monotonic() + _REFRESH_S

    def show(self, end: str) -> None:
        """Write the count over the last one."""
        seconds = max(time.monotonic() - self._began, 1e-3)
        rate = self._sent / seconds / 1e6
        sys.stderr.write(f"{_CLEAR_LINE}  Sent {size(self._sent)}{self._of}, {rate:.1f} MB/s{end}")
        sys.stderr.flush()


def _archive(file: IO[bytes], name: str) -> Archive:
    """Return the open file as an archive."""
    about = os.fstat(file.fileno())
    parts = _parts(file, name)
    first = next(parts, None)
    if first is None:
        raise UsageMistake(f"There is nothing to load: {name} is empty.")
    return Archive(_chained(first, parts), about.st_size if stat.S_ISREG(about.st_mode) else None)


def _parts(file: IO[bytes], name: str) -> Iterator[bytes]:
    """Yield the file's bytes until its end."""
    try:
        while part := file.read(PART_BYTES):
            yield part
    except OSError as error:
        raise CliError(f"Reading {name} failed.", str(error)) from error


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the first part and the rest."""
    yield first
    yield from rest
