"""Drivers for a fleet that is not there: they take the time that real ones take, and remember what they were told.

What costs the control plane itself something is real: the certificates and the files that nodes begin with.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

from activities.ports import Fabric, Hosts, Images, Nodes, Orchestrator
from domain.clusters import COE_SWARM
from domain.facts import ClusterFacts
from domain.hosts import HostReport
from domain.instance import Instance
from domain.nodes import Member, NodeFile, NodePlan
from domain.secrets import ClusterKeys
from domain.sizes import Size
from drivers.fakes.fabric import FakeFabric
from drivers.fakes.hosts import FakeHosts
from drivers.fakes.images import FakeImages
from drivers.fakes.nodes import FakeNodes
from drivers.fakes.orchestrator import FakeOrchestrator
from drivers.pki import CertificatePki
from drivers.swarm import Swarm
from worker.wiring import Drivers

Waits = Mapping[str, float]
"""Seconds that calls take, by the method's name; others take none."""

NODES: Waits = {"ensure": 1.5, "remove": 0.5, "stop": 0.5, "found": 0.05}
FABRIC: Waits = {
    "ensure_segment": 0.05,
    "remove_segment": 0.05,
    "ensure_publications": 0.05,
    "ensure_guarded": 0.05,
    "ensure_tunnels": 0.05,
    "probe": 0.05,
    "found": 0.05,
}
HOSTS: Waits = {"measure": 0.5, "ensure_prepared": 1.0, "release": 0.5}
IMAGES: Waits = {"ensure": 0.0, "collect": 0.05}
ORCHESTRATOR: Waits = {
    "form": 0.3,
    "join": 0.3,
    "leave": 0.1,
    "drain": 0.1,
    "ensure_overlay": 0.05,
    "verify": 0.3,
    "health": 0.02,
}
PER_CREATE: Waits = {
    "ensure_segment": FABRIC["ensure_segment"],  # and beside it what is in BESIDE
    "ensure_node": NODES["ensure"],
    "form_cluster": ORCHESTRATOR["form"],
    "join_node": ORCHESTRATOR["join"],
    "probe_segment": FABRIC["probe"],
    "ensure_overlay": ORCHESTRATOR["ensure_overlay"],
    "verify_overlay": ORCHESTRATOR["verify"],
}
"""What a create with workers on several hosts waits for at least, by step, one after the other."""
BESIDE: Waits = {"ensure_publications": FABRIC["ensure_publications"]}
FLOOR_S = sum(PER_CREATE.values())

_GIB = 2**30
_MACHINE = Size(64, 256 * _GIB, 4096 * _GIB)
REPORT = HostReport((), frozenset(), mtu=1500, cgroup_version=2, total=_MACHINE, free=_MACHINE)


class Waiting:
    """Stands in front of a driver, and takes the time that its calls would take."""

    def __init__(self, driver: object, waits: Waits) -> None:
        self._driver = driver
        self._waits = waits

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._driver, name)
        wait_s = self._waits.get(name)
        if wait_s is None:
            return member

        async def waited(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(wait_s)
            return await member(*args, **kwargs)

        return waited


class FleetSwarm(FakeOrchestrator):
    """Swarms that are remembered; the files of their nodes, certificates among them, are real."""

    def __init__(self, swarm: Swarm) -> None:
        super().__init__()
        self._swarm = swarm

    def keys(self, cluster_name: str) -> Mapping[str, bytes]:
        return self._swarm.keys(cluster_name)

    def node_files(
        self, cluster: ClusterFacts, plan: NodePlan, manager: Member, keys: ClusterKeys
    ) -> Sequence[NodeFile]:
        return self._swarm.node_files(cluster, plan, manager, keys)

    def _enter(self, method: str) -> None:
        """Remember no calls: there are too many."""


class ForgetfulNodes(FakeNodes):
    """Nodes that are remembered without their files."""

    async def ensure(self, plan: NodePlan, files: Sequence[NodeFile]) -> None:
        del files
        await super().ensure(plan, ())


def waiting_drivers(instance: Instance) -> Drivers:
    """Return the fleet's drivers. All that use the fleet have to use the same."""
    pki = CertificatePki()
    orchestrator = Waiting(FleetSwarm(Swarm(pki)), ORCHESTRATOR)
    return Drivers(
        cast("Nodes", Waiting(ForgetfulNodes(), NODES)),
        cast("Fabric", Waiting(FakeFabric(), FABRIC)),
        cast("Hosts", Waiting(FakeHosts(instance, report=REPORT), HOSTS)),
        cast("Images", Waiting(FakeImages(), IMAGES)),
        pki,
        {COE_SWARM: cast("Orchestrator", orchestrator)},
    )
