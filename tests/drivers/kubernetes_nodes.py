"""Real nodes of a Kubernetes cluster on this machine, on a bridge of the test's own."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from realhost import RealHost

from domain.allocation import node_address, uid_base
from domain.clusters import COE_KUBERNETES, ClusterType
from domain.facts import ClusterFacts
from domain.nodes import Member, NodePlan, NodeRole, Stamp
from domain.options import NETWORK_FLANNEL, AskedOptions, check_options
from domain.secrets import Access, ClusterKeys
from drivers.kubernetes import Kubernetes
from drivers.lxc import LxcNodes
from drivers.pki import CertificatePki
from drivers.shell import shell_of


@dataclass
class KubernetesNodes:
    """The nodes, as plans and as members, and what it takes to speak to them."""

    cluster: ClusterFacts
    orchestrator: Kubernetes
    keys: ClusterKeys
    access: Access
    plans: list[NodePlan]
    members: list[Member]

    async def start(self, member: Member) -> None:
        """Start a node, made new if it is not there, and return when its containerd serves."""
        plan = self.plan(member)
        files = self.orchestrator.node_files(self.cluster, plan, self.members[0], self.keys)
        await LxcNodes().ensure(plan, files)

    async def form(self) -> None:
        """Start all nodes, and return when all have joined."""
        manager, *workers = self.members

        async def first() -> None:
            await self.start(manager)
            await self.orchestrator.form(manager, self.access)

        async def further(worker: Member) -> None:
            await self.start(worker)
            await formed
            await self.orchestrator.join(manager, worker, self.access)

        formed = asyncio.create_task(first())
        await asyncio.gather(formed, *(further(worker) for worker in workers))

    async def remove(self, member: Member) -> None:
        """Remove a node's container."""
        plan = self.plan(member)
        await LxcNodes().remove(plan.host, plan.container)

    def plan(self, member: Member) -> NodePlan:
        return self.plans[self.members.index(member)]

    def stop(self, member: Member) -> None:
        """Stop a node by force, as a power cut does."""
        plan = self.plan(member)
        command = ("lxc-stop", "--kill", "-P", f"{plan.host.root}/pool/nodes", "-n", plan.container)
        subprocess.run(command, check=True, capture_output=True, timeout=30)

    def run(self, member: Member, *command: str) -> str:
        """Run a command inside a node, and return what it wrote."""
        plan = self.plan(member)
        prefix = ("lxc-attach", "-P", f"{plan.host.root}/pool/nodes", "-n", plan.container, "--clear-env", "--")
        done = subprocess.run((*prefix, *command), check=False, capture_output=True, timeout=60, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@asynccontextmanager
async def kubernetes_nodes(
    real: RealHost,
    kind: ClusterType,
    image: str,
    *,
    name: str,
    count: int,
    slot: int,
    network: str = NETWORK_FLANNEL,
) -> AsyncIterator[KubernetesNodes]:
    """Plan the nodes of a cluster under an authority of its own; remove at the end what was made of them.

    `slot`, from 0, keeps clusters on one host apart.
    """
    pki = CertificatePki()
    orchestrator = Kubernetes(pki, shell_of, patience_s=8)
    authority = pki.authority(name)
    keys = ClusterKeys(authority, orchestrator.keys(name))
    client = pki.client(authority, name="carina", groups=orchestrator.control_groups)
    options = check_options(AskedOptions(network=network), COE_KUBERNETES, real.claim.network)
    cluster = ClusterFacts(f"cluster-{slot}", name, kind, real.segment, options)
    nodes = KubernetesNodes(cluster, orchestrator, keys, Access(authority.cert_pem, client), [], [])
    for index in range(1, count + 1):
        role = NodeRole.MANAGER if index == 1 else NodeRole.WORKER
        number = slot * 8 + index
        plan = NodePlan(
            real.host,
            f"{name}-{index}",
            real.instance.container(name, index, f"node-{index}"),
            role,
            node_address(real.segment.cidr, 150 + number),
            uid_base(real.claim, number),
            real.instance.veth(20 + slot, index),
            real.segment,
            Stamp(real.instance.prefix, cluster.id, f"node-{index}", image),
            image,
        )
        nodes.plans.append(plan)
        nodes.members.append(Member(f"node-{index}", plan.name, role, plan.address))
    try:
        yield nodes
    finally:
        orchestrator.close()
        for plan in nodes.plans:
            await LxcNodes().remove(plan.host, plan.container)
