"""An orchestrator in memory, which fails where it is told to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from domain.clusters import Capability
from domain.errors import CarinaError, OverlayFailed, SwarmFailed
from domain.facts import ClusterFacts, NodeFacts
from domain.nodes import Member, NodeFile, NodePlan, manager_of
from domain.overlays import Overlay
from domain.secrets import Access, ClusterKeys


@dataclass
class FakeOrchestrator:
    """Fits `Orchestrator` with clusters that are sets of names, one for each manager's address.

    `failing` gives, by name of a method, what its calls raise, until the entry is taken out again. `calls` are the
    methods called, in order. `stranded` is what drains report, `found` what proofs find out, `images` what was loaded,
    by node.
    """

    coe: str = "swarm"
    failing: dict[str, CarinaError] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    clusters: dict[str, set[str]] = field(default_factory=dict)
    overlays: dict[str, dict[str, Overlay]] = field(default_factory=dict)
    images: dict[str, set[str]] = field(default_factory=dict)
    stranded: Sequence[str] = ()
    left: dict[str, Sequence[str]] = field(default_factory=dict)
    found: Sequence[Capability] = ()
    control_groups: Sequence[str] = ()
    person_groups: Sequence[str] = ()
    person_lifetime: timedelta | None = None

    def keys(self, cluster_name: str) -> Mapping[str, bytes]:
        """Return one that names the cluster."""
        return {"fake": cluster_name.encode()}

    def node_files(
        self, cluster: ClusterFacts, plan: NodePlan, manager: Member, keys: ClusterKeys
    ) -> Sequence[NodeFile]:
        """Return one file that names the node."""
        return (NodeFile("/etc/fake", plan.name.encode()),)

    def credentials(self, cluster_name: str, endpoint: str, access: Access) -> Mapping[str, bytes]:
        """Return one script and the authority's certificate."""
        return {"docker.env": f"export DOCKER_HOST={endpoint}\n".encode(), "ca.pem": access.ca_pem}

    def endpoint(self, manager: Member) -> str:
        """Return an address like Docker's."""
        host, port = manager.api(2376)
        return f"tcp://{host}:{port}"

    async def form(self, manager: Member, access: Access) -> None:
        """Make a cluster of the manager alone, unless it has one."""
        self._enter("form")
        self.clusters.setdefault(manager.address, {manager.name})

    async def join(self, manager: Member, node: Member, access: Access) -> None:
        """Add the node's name."""
        self._enter("join")
        self._names(manager).add(node.name)

    async def drain(self, manager: Member, node: Member, access: Access) -> Sequence[str]:
        """Return `stranded`: there is no work here."""
        self._enter("drain")
        return self.stranded

    async def undrain(self, manager: Member, node: Member, access: Access) -> None:
        """Do nothing: there is no work here."""
        self._enter("undrain")

    async def leave(self, manager: Member, node: Member, access: Access) -> None:
        """Take the node's name away."""
        self._enter("leave")
        self._names(manager).discard(node.name)

    async def ensure_overlay(self, members: Sequence[Member], overlay: Overlay, access: Access) -> None:
        """Remember the overlay network as described."""
        self._enter("ensure_overlay")
        manager = manager_of(members)
        self._names(manager)
        self.overlays.setdefault(manager.address, {})[overlay.name] = overlay

    async def remove_overlay(self, members: Sequence[Member], name: str, access: Access) -> None:
        """Forget the overlay network."""
        self._enter("remove_overlay")
        self.overlays.get(manager_of(members).address, {}).pop(name, None)

    async def verify(self, members: Sequence[Member], overlay: Overlay, access: Access) -> Sequence[Capability]:
        """Check that the first member's cluster has the overlay network; raise `OverlayFailed` if not."""
        self._enter("verify")
        if overlay.name not in self.overlays.get(members[0].address, {}):
            raise OverlayFailed(f"There is no overlay network {overlay.name}.")
        return self.found

    async def health(self, manager: Member, access: Access) -> Mapping[str, bool]:
        """Hold every member for ready."""
        self._enter("health")
        return dict.fromkeys(self._names(manager), True)

    async def start_unattached(self, member: Member, access: Access) -> Sequence[str]:
        """Return what is `left` on the member, once."""
        self._enter("start_unattached")
        return self.left.pop(member.name, ())

    async def load_image(self, node: NodeFacts, archive: Path, access: Access) -> None:
        """Remember the archive's name under the node's."""
        self._enter("load_image")
        self.images.setdefault(node.ref.name, set()).add(archive.name)

    def _names(self, manager: Member) -> set[str]:
        if manager.address not in self.clusters:
            raise SwarmFailed(f"{manager.name} manages no cluster.")
        return self.clusters[manager.address]

    def _enter(self, method: str) -> None:
        self.calls.append(method)
        if method in self.failing:
            raise self.failing[method]
