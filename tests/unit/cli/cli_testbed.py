"""What tests of the command share: a run, and the ways to make one."""

import subprocess
from collections.abc import Callable
from typing import NamedTuple


class Ran(NamedTuple):
    """What a run of the command came to."""

    code: int
    out: str
    err: str


Carina = Callable[..., Ran]
Start = Callable[..., subprocess.Popen[str]]
