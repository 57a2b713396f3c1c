"""Racks that persons have started, and how these are ended from elsewhere."""

import json
import os
import signal
import sys
import time
from pathlib import Path

from tests.rack.racks import NAME, TMP, sweep

PERSON = "person"
FACTS = "hosts.json"
_TIMEOUT_S = 60.0
_POLL_S = 0.05


def say(text: str) -> None:
    """Tell the person."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def known_facts() -> str | None:
    """Return what is written of the hosts of a rack that a person has, if somebody keeps one that is up."""
    for directory in TMP.glob(f"{NAME}*"):
        if _keeper(directory) is not None and (directory / FACTS).exists():
            return (directory / FACTS).read_text()
    return None


def end_all() -> None:
    """End each rack that a person has started, and clear what killed runs left."""
    for directory in TMP.glob(f"{NAME}*"):
        pid = _keeper(directory)
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            _await_gone(directory)
            say(f"{directory.name} has ended")
    sweep()


def _keeper(directory: Path) -> int | None:
    """Return the process that keeps a person's rack, if it lives."""
    try:
        stamp = json.loads((directory / "stamp.json").read_text())
        command = Path(f"/proc/{stamp['pid']}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        return None
    ours = stamp["purpose"] == PERSON and b"tests.rack" in command
    return int(stamp["pid"]) if ours else None


def _await_gone(directory: Path) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while directory.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{directory} is still there after {_TIMEOUT_S:g} s")
        time.sleep(_POLL_S)
