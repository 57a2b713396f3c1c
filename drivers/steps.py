"""Several scripts in one round trip: a host that is far away is asked once, not once for each."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from drivers.shell import ScriptFailed, Shell

_RUN = r"""
# Runs scripts one after another, each with its input and its arguments, and writes what each wrote, ended by a NUL.
# The first that fails is the last, and its exit status that of all.
set -u
while (($#)); do
  script=$1 input=$2 count=$3
  shift 3
  bash -c "$script" carina "${@:1:count}" < <(base64 -d <<< "$input") || exit
  printf '\0'
  shift "$count"
done
"""


@dataclass(frozen=True, slots=True)
class Step:
    """A script, with what it does in words, its arguments and its standard input, none of them secret or large."""

    what: str
    script: str
    args: Sequence[str] = ()
    stdin: bytes = b""


async def run_steps(shell: Shell, steps: Sequence[Step], *, timeout_s: float) -> list[str]:
    """Run steps in turn until one fails, and return what each wrote, in which no NUL may be.

    Raises `ScriptFailed` of the step that failed, with what that one wrote.
    """
    args: list[str] = []
    for step in steps:
        args += [step.script, base64.b64encode(step.stdin).decode(), str(len(step.args)), *step.args]
    what = "; ".join(step.what for step in steps)
    try:
        result = await shell.run(_RUN, args=args, timeout_s=timeout_s, what=what)
    except ScriptFailed as failure:
        *_, output = done = failure.stdout.split(b"\0")
        step = steps[min(len(done), len(steps)) - 1]
        raise ScriptFailed(step.what, failure.exit_status, output, failure.stderr) from failure
    return result.stdout.decode(errors="replace").split("\0")[: len(steps)]
