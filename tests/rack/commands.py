"""Commands of the test machine."""

import subprocess
from collections.abc import Sequence

TIMEOUT_S = 120.0


def run(*command: str, check: bool = True, stdin: str = "", timeout_s: float = TIMEOUT_S) -> str:
    """Run a command to its end and return what it printed. Raises `AssertionError` if it ends badly and `check`."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=timeout_s)
    if check and done.returncode != 0:
        raise AssertionError(
            f"{' '.join(command)}: exit status {done.returncode}: {(done.stderr or done.stdout).strip()}"
        )
    return done.stdout


def each(commands: Sequence[Sequence[str]]) -> None:
    """Run commands at the same time; raise `AssertionError` about the first that ends badly, when all have ended."""
    running = [
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for command in commands
    ]
    ended = [(process.communicate(timeout=TIMEOUT_S)[1], process) for process in running]
    for said, process in ended:
        if process.returncode != 0:
            raise AssertionError(f"{process.args!r}: exit status {process.returncode}: {said.strip()}")
