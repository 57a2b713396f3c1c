"""What the tests of nodes share."""

import asyncio
import dataclasses
from collections.abc import Callable, Sequence

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


async def in_node(real_host: RealHost, plan: NodePlan, *command: str) -> str:
    """Run a command in a node, and return what it wrote."""
    attach = ("lxc-attach", "-P", str(real_host.pool / "nodes"), "-n", plan.container, "--clear-env", "--")
    process = await asyncio.create_subprocess_exec(*attach, *command, stdout=-1, stderr=-2, stdin=-3)
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()
