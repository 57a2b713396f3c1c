"""What goes to stdout: aligned tables for people, the API's own JSON for programs. Colours on terminals only."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import IO

from carina_cli.shapes import Operation

_GREEN, _YELLOW, _RED = "32", "33", "31"
_COLOURS: Mapping[str, str] = {
    **dict.fromkeys(("active", "healthy", "succeeded", "ok", "ready"), _GREEN),
    **dict.fromkeys(
        ("creating", "resizing", "deleting", "pending", "running", "cancelling", "reserved", "preparing", "removing"),
        _YELLOW,
    ),
    **dict.fromkeys(("error", "failed", "degraded", "lost", "cancelled", "unavailable", "missing"), _RED),
}
"""Words of state and their ANSI colours."""

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400


class Format(StrEnum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"


def colours_wanted(stream: IO[str]) -> bool:
    """Tell whether `stream` takes colours: a terminal that can, and no NO_COLOR (see no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_json(document: object) -> None:
    """Write a JSON document to stdout."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def print_lines(lines: Iterable[str]) -> None:
    """Write lines to stdout."""
    for line in lines:
        sys.stdout.write(printable(line) + "\n")


def complain(lines: Iterable[str]) -> None:
    """Write lines to stderr: errors, progress, all that is not the result."""
    for line in lines:
        sys.stderr.write(printable(line) + "\n")
    sys.stderr.flush()


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write rows under their headers, columns aligned; words of state in colour where that is wanted."""
    cells = [[printable("-" if cell is None or cell == "" else str(cell)) for cell in row] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(headers, *cells, strict=True)]
    painted = colours_wanted(sys.stdout)
    for row in (headers, *cells):
        padded = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        padded[-1] = row[-1]
        if painted and row is not headers:
            padded = [_paint(whole, text) for whole, text in zip(padded, row, strict=True)]
        sys.stdout.write("  ".join(padded) + "\n")


def print_fields(fields: Sequence[tuple[str, object]]) -> None:
    """Write names and values, one pair a line; pairs without a value are left out."""
    shown = [(name, str(value)) for name, value in fields if value not in (None, "")]
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        text = printable(value)
        painted = _paint(text, text) if colours_wanted(sys.stdout) else text
        sys.stdout.write(f"{name.ljust(width)}  {painted}\n")


def seconds_between(started: str | None, ended: str | None) -> float | None:
    """Return the seconds between two RFC 3339 times, up to now if the second is None; None if not started."""
    if started is None:
        return None
    until = datetime.now(UTC) if ended is None else datetime.fromisoformat(ended)
    return max(0.0, (until - datetime.fromisoformat(started)).total_seconds())


def took(operation: Operation) -> str:
    """Return how long an operation took, from being accepted on, or has been going on."""
    seconds = seconds_between(operation["created_at"], operation["ended_at"])
    return "" if seconds is None else f"{seconds:.1f} s"


def age(moment: str) -> str:
    """Return how long ago a moment was, in its greatest unit."""
    seconds = int(seconds_between(moment, None) or 0)
    for unit_s, letter in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "m")):
        if seconds >= unit_s:
            return f"{seconds // unit_s}{letter}"
    return f"{seconds}s"


def yes_or_no(truth: object) -> str:
    """Return a truth in a word."""
    return "yes" if truth else "no"


def size(count: int) -> str:
    """Return a number of bytes in the greatest unit, of a thousand times the next lower, that leaves at least one."""
    shown, units = float(count), ["B", "kB", "MB", "GB"]
    while shown >= 999.95 and units[1:]:  # noqa: PLR2004 - what would be shown as 1000.0
        shown /= 1000
        units.pop(0)
    return f"{shown:.0f} B" if units[0] == "B" else f"{shown:.1f} {units[0]}"


def room(count: float) -> str:
    """Return bytes of memory or disk in binary units, as machines are measured; nothing for none."""
    shown, units = count, ["B", "KiB", "MiB", "GiB", "TiB"]
    while shown >= 1024 and units[1:]:  # noqa: PLR2004 - the step between binary units
        shown /= 1024
        units.pop(0)
    return f"{shown:.1f} {units[0]}" if count else ""


def printable(text: str) -> str:
    """Return `text` without what would steer a terminal: it may be a command's output from a host."""
    return "".join(char if char.isprintable() else " " for char in text)


def _paint(whole: str, word: str) -> str:
    """Return `whole` in the colour of the state that `word` is, if it is one."""
    colour = _COLOURS.get(word)
    return f"\x1b[{colour}m{whole}\x1b[0m" if colour else whole
