"""Three real nodes with Docker Engines on this machine, none of them in a swarm."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from conftest import RealHost
from realhost import READY_TIMEOUT_S
from requests import RequestException

from domain.allocation import node_address, uid_base
from domain.clusters import SWARM
from domain.errors import SwarmFailed
from domain.facts import NodeFacts
from domain.nodes import Member, NodeFile, NodePlan, NodeRef, NodeRole, NodeState, Stamp
from domain.options import ClusterOptions
from domain.secrets import Access
from drivers.docker_client import Engines
from drivers.images import NodeImages
from drivers.lxc import LxcNodes
from drivers.pki import CertificatePki
from drivers.swarm_files import node_files
from drivers.swarm_gossip import await_silence

COUNT = 3
LXC = LxcNodes(ready_timeout_s=READY_TIMEOUT_S)


@dataclass
class DockerNodes:
    """The nodes, as plans and as members, and what it takes to speak to them."""

    plans: list[NodePlan]
    members: list[Member]
    access: Access
    files: list[list[NodeFile]]

    async def start_all(self) -> None:
        """Start the nodes that don't run, and wait until every engine answers."""
        pairs = zip(self.plans, self.files, strict=True)
        await asyncio.gather(*(LXC.ensure(plan, files) for plan, files in pairs))
        await asyncio.to_thread(self._await_answers)

    def facts(self, index: int) -> NodeFacts:
        """Return a node as the store would."""
        member = self.members[index]
        ref = NodeRef(member.node_id, member.name, member.role, "local")
        return NodeFacts(ref, self.plans[index], NodeState.ACTIVE)

    def stop(self, member: Member) -> None:
        """Stop a node by force, as a power cut does."""
        plan = self.plans[self.members.index(member)]
        command = ("lxc-stop", "--kill", "-P", f"{plan.host.root}/pool/nodes", "-n", plan.container)
        subprocess.run(command, check=True, capture_output=True, timeout=30)

    def run(self, member: Member, *command: str) -> None:
        """Run a command inside a node."""
        plan = self.plans[self.members.index(member)]
        prefix = ("lxc-attach", "-P", f"{plan.host.root}/pool/nodes", "-n", plan.container, "--")
        subprocess.run((*prefix, *command), check=True, capture_output=True, timeout=30)

    def kill_docker(self, member: Member) -> None:
        """Kill the Docker Engine of a node. The node's systemd starts it again a second later."""
        self.run(member, "systemctl", "kill", "--signal=KILL", "docker.service")

    def leave_swarms(self) -> None:
        """Take every engine out of its swarm, the manager last: one that finds no peers to say it to may not let go."""
        with Engines(self.access) as engines:
            for member in reversed(self.members):
                engine = engines.at(member)
                if engine.info()["Swarm"]["LocalNodeState"] != "inactive":
                    engine.leave_swarm(force=True)
                    self._let_go(member)
        self._await_answers()

    def _let_go(self, member: Member) -> None:
        try:
            await_silence(member)
        except SwarmFailed:
            self.run(member, "systemctl", "restart", "docker.service")

    def _await_answers(self) -> None:
        """Wait for all engines. One that a test has killed looks 20 s and more for its lost swarm before it serves."""
        with Engines(self.access) as engines:
            for member in self.members:
                until(partial(answers, engines, member), timeout_s=60.0)


def until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Poll tightly until the condition is true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not so within {timeout_s} s"
        time.sleep(0.005)


def answers(engines: Engines, member: Member) -> bool:
    try:
        return bool(engines.at(member).ping())
    except RequestException:
        return False


@asynccontextmanager
async def docker_nodes(real: RealHost) -> AsyncIterator[DockerNodes]:
    """Make the nodes, under an authority of their own, and remove them at the end."""
    image = await NodeImages().ensure(real.host, SWARM)
    pki = CertificatePki()
    authority = pki.authority("test")
    access = Access(authority.cert_pem, pki.client(authority, name="test"))
    nodes = DockerNodes([], [], access, [])
    for index in range(1, COUNT + 1):
        role = NodeRole.MANAGER if index == 1 else NodeRole.WORKER
        plan = NodePlan(
            real.host,
            f"swarm-{index}",
            real.instance.container("swarm", index, f"node-{index}"),
            role,
            node_address(real.segment.cidr, 100 + index),
            uid_base(real.claim, 8 + index),
            real.instance.veth(15, index),
            real.segment,
            Stamp(real.instance.prefix, "swarm", f"node-{index}", image),
            image,
        )
        server = pki.server(authority, name=plan.name, names=[plan.name], addresses=[plan.address, "127.0.0.1"])
        nodes.plans.append(plan)
        nodes.members.append(Member(f"node-{index}", plan.name, role, plan.address))
        nodes.files.append(list(node_files(plan, ClusterOptions(), access.ca_pem, server)))
    try:
        await nodes.start_all()
        yield nodes
    finally:
        for plan in nodes.plans:
            await LXC.remove(plan.host, plan.container)
