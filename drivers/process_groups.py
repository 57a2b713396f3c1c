"""What is known of a process group of this machine, from /proc (see proc(5))."""

import contextlib
import os
from pathlib import Path

_ENDED = ("Z", "X")


def group_runs(group: int) -> bool:
    """Return whether any process of a group still runs.

    One that has ended counts as ended at once. The kernel lists it until its parent asks for its status, and the parent
    of orphans, the machine's init, may take seconds.
    """
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return any(_runs_in(process, group) for process in Path("/proc").glob("[0-9]*"))


def _runs_in(process: Path, group: int) -> bool:
    """Return whether a process of /proc runs and is of the group."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        state, _, its_group, *_ = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return int(its_group) == group and state not in _ENDED
    return False
