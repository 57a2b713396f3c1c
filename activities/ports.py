"""What activities need of the outside world. Drivers fit these Protocols; `worker.wiring` joins them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from domain.clusters import Capability, ClusterType
from domain.facts import ClusterFacts, NodeFacts
from domain.hosts import Claim, Host, HostReport, TunnelPeer
from domain.nodes import FoundNode, FoundSegment, Member, Neighbour, NodeFile, NodePlan, Segment
from domain.overlays import Overlay
from domain.publications import Publication
from domain.secrets import Access, ClusterKeys, KeyPair


class Pki(Protocol):
    """Makes certificates (X.509, RFC 5280)."""

    def authority(self, name: str) -> KeyPair:
        """Make a certificate authority of its own."""
        ...

    def server(self, authority: KeyPair, *, name: str, names: Sequence[str], addresses: Sequence[str]) -> KeyPair:
        """Issue a server's certificate that carries every name and address by which a client may reach it."""
        ...

    def client(
        self, authority: KeyPair, *, name: str, groups: Sequence[str] = (), lifetime: timedelta | None = None
    ) -> KeyPair:
        """Issue a client's certificate. `groups` are its organisations; without `lifetime` it lasts like a server's."""
        ...


class Vault(Protocol):
    """Seals secrets for rest. `context` binds a sealed value to its place: opening it elsewhere fails."""

    def seal(self, secret: bytes, *, context: str) -> bytes:
        """Return `secret` encrypted and authenticated."""
        ...

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """Return the secret; raise `CarinaError` if it was sealed under another key or context, or altered."""
        ...


class Nodes(Protocol):
    """Makes and removes nodes' containers on hosts."""

    async def ensure(self, plan: NodePlan, files: Sequence[NodeFile]) -> None:
        """Make the node as planned, with `files` in it before its first start, and return when it is ready.

        A node that is there already is only started, if it does not run, with the files that it has. What a
        cut call left half-done is made anew. Raises `ImageUnavailable`, `DiskFull`, `NodeNotStarted`,
        `DockerSilent`, `CommandFailed`.
        """
        ...

    async def remove(self, host: Host, container: str) -> None:
        """Stop and remove the container and its disk, whatever state they are in. None there is no error."""
        ...

    async def found(self, host: Host) -> Sequence[FoundNode]:
        """Return the containers of this instance on the host, half-made ones too.

        None on a host that never was prepared. Raises `PoolNotMounted` where they are on a pool that can't be seen.
        """
        ...


class Fabric(Protocol):
    """Makes and removes clusters' networks on hosts."""

    async def ensure_segment(self, host: Host, segment: Segment, neighbours: Sequence[Neighbour] = ()) -> None:
        """Make the bridge, its address and the firewall's rules for it, and join it to that of other hosts.

        `neighbours` are all the nodes of the cluster that are on other hosts; without any, the segment ends at the
        host. It comes back by itself when the host reboots.
        """
        ...

    async def remove_segment(self, host: Host, bridge: str) -> None:
        """Remove the bridge and the rules for it. None there is no error."""
        ...

    async def found(self, host: Host) -> Sequence[FoundSegment]:
        """Return the bridges of this instance on the host."""
        ...

    async def probe(self, plan: NodePlan, targets: Sequence[str]) -> Sequence[str]:
        """Send packets as large as the segment's MTU from a running node to those at the addresses `targets`.

        Returns the addresses that did not answer.
        """
        ...

    async def ensure_publications(self, host: Host, publications: Sequence[Publication]) -> None:
        """Let these ports of the host's address lead to nodes on it, and no others."""
        ...

    async def ensure_rules(self, host: Host) -> bool:
        """Bring the firewall's rules back if something has taken them away while there are segments; say whether."""
        ...

    async def ensure_guarded(self, host: Host, networks: Sequence[str]) -> None:
        """Keep nodes from opening connections to these networks (CIDR): other hosts, and what manages them."""
        ...

    async def ensure_tunnels(self, host: Host, peers: Sequence[TunnelPeer]) -> None:
        """Send clusters' packets to these hosts by WireGuard, and take them from there only so.

        Of hosts that are not among them any more nothing is taken by it. The host has a tunnel's end itself.
        """
        ...


class Images(Protocol):
    """Makes node images on hosts."""

    async def ensure(self, host: Host, kind: ClusterType) -> str:
        """Build the image of nodes of that kind unless it is there, and return its digest.

        Raises `ImageUnavailable`, `ReleaseMissing`, `DiskFull`, `HostNotReady`.
        """
        ...

    async def collect(self, host: Host) -> Sequence[str]:
        """Remove images that are no longer made, that no node is made of, and nobody asked for lately.

        Returns their digests.
        """
        ...


class Hosts(Protocol):
    """Measures and prepares hosts."""

    async def measure(self, host: Host) -> HostReport:
        """Say what the host can do, by trying where that is possible. Changes nothing that lasts."""
        ...

    async def ensure_prepared(
        self, host: Host, network: str | None = None, *, tell: Callable[[str], None] | None = None
    ) -> Claim:
        """Prepare the host: packages, sysctls, claim, storage pool, what brings nodes back after a reboot.

        Returns what is claimed. `network` asks for that node network and no other: that of the hosts before it. `tell`
        is told of each change in words, such as "install the package lxc".
        """
        ...

    async def release(self, host: Host, *, purge: bool) -> None:
        """Take back what the host was given; its nodes have to be gone. With `purge` the data goes too."""
        ...


class Orchestrator(Protocol):
    """What is particular to one orchestrator. Members are reached where they say that their API is, with `access`."""

    @property
    def coe(self) -> str:
        """The orchestrator's name, as in `ClusterType.coe`."""
        ...

    @property
    def control_groups(self) -> Sequence[str]:
        """The groups that the control plane's own client belongs to."""
        ...

    @property
    def person_groups(self) -> Sequence[str]:
        """The groups that people's clients belong to."""
        ...

    @property
    def person_lifetime(self) -> timedelta | None:
        """How long people's certificates last if they don't say; None is as long as the cluster's own."""
        ...

    def keys(self, cluster_name: str) -> Mapping[str, bytes]:
        """Mint what a cluster needs beside its authority, by name. Each call mints anew; the caller keeps it sealed."""
        ...

    def node_files(
        self, cluster: ClusterFacts, plan: NodePlan, manager: Member, keys: ClusterKeys
    ) -> Sequence[NodeFile]:
        """Return the files that a node has before its first start, certificates included."""
        ...

    def credentials(self, cluster_name: str, endpoint: str, access: Access) -> Mapping[str, bytes]:
        """Return the files, by name, of the archive that people use to reach the cluster's native API."""
        ...

    def endpoint(self, manager: Member) -> str:
        """Return the address of the cluster's native API, as a URL."""
        ...

    async def form(self, manager: Member, access: Access) -> None:
        """Make the cluster with its first member."""
        ...

    async def join(self, manager: Member, node: Member, access: Access) -> None:
        """Make `node` a member; what is needed for that is fetched, used and forgotten inside."""
        ...

    async def drain(self, manager: Member, node: Member, access: Access) -> Sequence[str]:
        """Move work off `node`, within a bound, and say what could not be moved. A node that is no member is no error.

        What is returned is for people: one sentence each, about work that has no other home.
        """
        ...

    async def undrain(self, manager: Member, node: Member, access: Access) -> None:
        """Let `node` take work again. A node that is no member is no error."""
        ...

    async def leave(self, manager: Member, node: Member, access: Access) -> None:
        """End the membership of `node`, on both sides as far as they answer. No member is no error."""
        ...

    async def ensure_overlay(self, members: Sequence[Member], overlay: Overlay, access: Access) -> None:
        """Make the overlay network unless it is there as described."""
        ...

    async def remove_overlay(self, members: Sequence[Member], name: str, access: Access) -> None:
        """Remove the overlay network. None there is no error; one in use raises `OverlayFailed`."""
        ...

    async def verify(self, members: Sequence[Member], overlay: Overlay, access: Access) -> Sequence[Capability]:
        """Check from inside that containers on each member reach those on every other over `overlay`.

        Returns what else was found out on the way. Raises `OverlayUnreachable` naming who does not reach whom.
        Leaves nothing behind.
        """
        ...

    async def health(self, manager: Member, access: Access) -> Mapping[str, bool]:
        """Return, by name of member, whether the orchestrator holds it for working."""
        ...

    async def start_unattached(self, member: Member, access: Access) -> Sequence[str]:
        """Start what the member's engine could not start again when it came back before its cluster.

        Returns the names of those containers.
        """
        ...

    async def load_image(self, node: NodeFacts, archive: Path, access: Access) -> None:
        """Put the container images of an archive (docker-archive or OCI layout, a tar) on the node.

        The archive is streamed. Images that are there already are no error. Raises `ImageLoadFailed`.
        """
        ...


class Archives(Protocol):
    """Keeps the archives of container images that were loaded into clusters."""

    def path(self, cluster_id: str, digest: str) -> Path:
        """Return where the archive is; raise `NotFound`."""
        ...

    def discard_all(self, cluster_id: str) -> None:
        """Drop all archives of the cluster. None there is no error."""
        ...
