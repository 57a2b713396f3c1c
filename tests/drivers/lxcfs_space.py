"""A view of this machine with processes and mounts of its own, in which lxcfs may be started: it ends with the view.

Nodes that are made in it see its lxcfs; the machine's other containers, and those of other tests, never do.
"""

import asyncio
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from realhost import RealHost

from domain.hosts import Host
from domain.nodes import NodePlan
from drivers.shell import LocalShell, Result

_SETUP = """
! mountpoint -q /var/lib/lxcfs || umount --lazy /var/lib/lxcfs
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir /run/lock
echo up
sleep infinity & wait
"""


class Space:
    """A `Shell`: its scripts run in the space."""

    def __init__(self) -> None:
        self._outer = subprocess.Popen(
            ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
             "bash", "-c", _SETUP),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._outer.stdout
        assert self._outer.stdout.readline() == "up\n"
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text(encoding="ascii")
        [self._first] = children.split()

    def close(self) -> None:
        self._outer.kill()
        self._outer.wait()
        assert self._outer.stdout
        self._outer.stdout.close()

    @property
    def _enter(self) -> Sequence[str]:
        return ("nsenter", f"--mount=/proc/{self._first}/ns/mnt", f"--pid=/proc/{self._first}/ns/pid", "--")

    async def run(
        self,
        script: str,
        *,
        args: Sequence[str] = (),
        stdin: bytes | Path = b"",
        timeout_s: float,
        what: str = "A script",
        on_line: Callable[[str], None] | None = None,
    ) -> Result:
        """See `drivers.shell.Shell.run`."""
        wrapped = 'front=("${@:3:$1}"); exec "${front[@]}" bash -c "$2" carina "${@:3+$1}"'
        arguments = (str(len(self._enter)), script, *self._enter, *args)
        return await LocalShell().run(
            wrapped, args=arguments, stdin=stdin, timeout_s=timeout_s, what=what, on_line=on_line
        )

    def shells(self, host: Host) -> "Space":
        """The `Shells` under which every host is this space."""
        return self

    async def attached(self, real_host: RealHost, plan: NodePlan, *command: str) -> tuple[int, str]:
        """Run a command in a node of the space; return its exit status and what it wrote."""
        attach = ("lxc-attach", "-P", str(real_host.pool / "nodes"), "-n", plan.container, "--clear-env", "--")
        process = await asyncio.create_subprocess_exec(*self._enter, *attach, *command, stdout=-1, stderr=-2, stdin=-3)
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def said(self, real_host: RealHost, plan: NodePlan, *command: str) -> str:
        """Return what a command in a node wrote, which has to succeed."""
        status, output = await self.attached(real_host, plan, *command)
        assert status == 0, output
        return output


@contextmanager
def space() -> Iterator[Space]:
    made = Space()
    try:
        yield made
    finally:
        made.close()
