"""The command lines that a host's sshd is given. They hold the scripts of Carina whole: nothing is installed there."""

import functools
import shlex
from importlib.resources import files

from drivers.ssh_link import SshTarget

MAX_COMMAND_BYTES = 128 * 2**10 - 1
"""Longest command line: the user's shell gets it as one argument (Linux: MAX_ARG_STRLEN)."""


def command(target: SshTarget, name: str, *args: str) -> str:
    """Return the command line that runs one of our scripts with bash, as root.

    `--norc`: bash that finds itself run by sshd reads ~/.bashrc, for which there is no need more than once.
    """
    sudo = () if target.user == "root" else ("sudo", "-n", "--")
    line = shlex.join(["exec", *sudo, "bash", "--norc", "-c", _text(name), "carina", *args])
    if len(line.encode()) > MAX_COMMAND_BYTES:
        raise ValueError(f"a script and its arguments are longer than {MAX_COMMAND_BYTES} bytes; use its input")
    return line


@functools.cache
def _text(name: str) -> str:
    """Return a script's text, with what it shares before it."""
    return "".join((files("drivers") / "scripts" / f"{part}.sh").read_text() for part in ("ssh_end", name))
