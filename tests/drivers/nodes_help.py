"""What the tests of nodes share."""

import asyncio
import dataclasses
import io
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from realhost import RealHost

from domain.allocation import node_address, uid_base
from domain.hosts import Host
from domain.nodes import NodePlan, NodeRole, Stamp
from drivers.shell import LocalShell, Result, Shell


def plan_node(real_host: RealHost, image: str, index: int = 1) -> NodePlan:
    """Plan the node with `index` on the real host."""
    return NodePlan(
        host=dataclasses.replace(real_host.host, image=image),
        name=f"node-{index}",
        container=real_host.instance.container("test", index, f"00000{index}"),
        role=NodeRole.WORKER,
        address=node_address(real_host.segment.cidr, index),
        uid_base=uid_base(real_host.claim, index),
        veth=real_host.instance.veth(0, index),
        segment=real_host.segment,
        stamp=Stamp(real_host.instance.prefix, real_host.segment.cluster_id, f"node-id-{index}", image),
        image=image,
    )


class CutShell(LocalShell):
    """A shell whose scripts are killed, with all of their process group, just before the line that has `marker`."""

    def __init__(self, marker: str) -> None:
        self.marker = marker

    async def run(
        self,
        script: str,
        *,
        args: Sequence[str] = (),
        stdin: bytes = b"",
        timeout_s: float,
        what: str = "A script",
        on_line: Callable[[str], None] | None = None,
    ) -> Result:
        assert script.count(self.marker) == 1, f"{self.marker} is not one place in the script"
        cut = script.replace(self.marker, f"kill -KILL 0; {self.marker}")
        return await super().run(cut, args=args, stdin=stdin, timeout_s=timeout_s, what=what, on_line=on_line)


def cut_before(marker: str) -> Callable[[Host], Shell]:
    return lambda host: CutShell(marker)


class StarvedShell(LocalShell):
    """Gives scripts the first entries of the tar on their standard input, up to the one named `last`, and no more."""

    def __init__(self, last: bytes) -> None:
        self._last = last

    async def run(self, script: str, *, stdin: bytes | Path = b"", **kwargs: Any) -> Result:
        assert isinstance(stdin, bytes)
        with tarfile.open(fileobj=io.BytesIO(stdin)) as tar:
            entry = next(member for member in tar if member.name == self._last.decode())
        end = entry.offset_data + -(-entry.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        return await super().run(script, stdin=stdin[:end], **kwargs)


def fed_until(last: bytes) -> Callable[[Host], Shell]:
    return lambda host: StarvedShell(last)


async def in_node(real_host: RealHost, plan: NodePlan, *command: str) -> str:
    """Run a command in a node, and return what it wrote."""
    attach = ("lxc-attach", "-P", str(real_host.pool / "nodes"), "-n", plan.container, "--clear-env", "--")
    process = await asyncio.create_subprocess_exec(*attach, *command, stdout=-1, stderr=-2, stdin=-3)
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()
