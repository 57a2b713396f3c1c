"""Hosts: the machines that carry nodes, what they can do, and what an instance has claimed on them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from domain.sizes import Size

LOCAL = "local"
"""The address of the machine that Carina itself runs on."""


class HostState(StrEnum):
    """Whether nodes may be placed on a host. Whether it takes new ones now is another question: see `cordoned`."""

    PREPARING = "preparing"
    READY = "ready"
    REMOVING = "removing"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Unreachable:
    """That a host does not answer: since when, in UTC, and what there was instead of an answer."""

    since: datetime
    reason: str


class Endpoint(StrEnum):
    """How people, and Carina, reach the nodes on a host."""

    DIRECT = "direct"  # at the nodes' own addresses, to which there is a route
    PUBLISHED = "published"  # at ports of the host's address that lead to the nodes


class CheckState(StrEnum):
    """The outcome of one preflight check."""

    OK = "ok"
    DEGRADED = "degraded"  # works, with something that clusters will feel
    MISSING = "missing"  # required, and not there


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a preflight report: what was looked at, what it means for clusters, and what mends it."""

    name: str
    state: CheckState
    detail: str
    meaning: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class TunnelEnd:
    """A host's end of WireGuard: the UDP port where it listens, and its public key, in base64."""

    port: int
    public_key: str


@dataclass(frozen=True, slots=True)
class TunnelPeer:
    """Another host that has WireGuard, and its IPv4 address in the fabric."""

    address: str
    end: TunnelEnd


@dataclass(frozen=True, slots=True)
class HostReport:
    """What a host can do, measured. `capabilities` are the names of features that clusters depend on."""

    checks: Sequence[Check]
    capabilities: frozenset[str]
    mtu: int
    cgroup_version: int
    total: Size = Size()
    free: Size = Size()
    address: str = ""
    """The IPv4 address on the way to other hosts, as far as the host itself can tell; empty if it can't."""
    addresses: tuple[str, ...] = ()
    """All its IPv4 addresses, but for those of clusters' networks."""
    tunnel: TunnelEnd | None = None
    """Its end of WireGuard, if that is wanted and the kernel has it. Then `mtu` is what is left inside."""

    @property
    def fit(self) -> bool:
        """Whether nothing required is missing."""
        return not self.missing

    @property
    def missing(self) -> Sequence[Check]:
        """The checks of what is required and not there."""
        return [check for check in self.checks if check.state is CheckState.MISSING]


CAP_ESP = "esp"  # encrypted overlays carry traffic
CAP_IPVS = "ipvs"  # service VIPs and the ingress mesh answer
CAP_APPARMOR = "apparmor"
CAP_LXCFS = "lxcfs"  # nodes with a size see it as their memory and CPUs
CAP_QUOTA = "quota"  # nodes' disks can be limited
CAP_WIREGUARD = "wireguard"  # what goes to other hosts that have it is encrypted
CAP_LIMITS = "limits"  # nodes' memory and CPUs can be limited


@dataclass(frozen=True, slots=True)
class Claim:
    """What an instance has claimed on a host, apart from any other instance there.

    `network` is the CIDR from which clusters' subnets come; uid ranges start at `uid_first`, `uid_ranges` of
    65,536 ids each.
    """

    network: str
    uid_first: int
    uid_ranges: int


@dataclass(frozen=True, slots=True)
class Login:
    """How Carina logs in to a host over SSH. `user` is root, or one who may use sudo without a password.

    `identity` is the path of a private key on the control plane's machine; empty are those of an agent, or the
    service's own. `host_key` is the pinned public key, as in known_hosts(5): its type and its base64.
    """

    user: str = "root"
    port: int = 22
    identity: str = ""
    host_key: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """A machine that carries nodes. `address` is `local` for the machine that Carina runs on.

    `root` is the directory on the host that holds all that the instance keeps there. `fabric_address` is the IPv4
    address at which other hosts reach it: as measured, or `fabric_address_given` by the operator; `addresses` are all
    that were measured, and `tunnel` its end of WireGuard, if it has one. `device` is the block device that the storage
    pool is to be made on; empty is none. `size` is what the machine has. A `cordoned` host takes no new nodes.
    """

    id: str
    name: str
    address: str
    root: str
    state: HostState = HostState.PREPARING
    claim: Claim | None = None
    mtu: int = 1500
    image: str = ""
    capabilities: frozenset[str] = field(default_factory=frozenset)
    login: Login = Login()
    zone: str = ""
    cordoned: bool = False
    endpoint: Endpoint = Endpoint.DIRECT
    fabric_address: str = ""
    device: str = ""
    size: Size = Size()
    fabric_address_given: bool = False
    addresses: tuple[str, ...] = ()
    tunnel: TunnelEnd | None = None

    @property
    def local(self) -> bool:
        """Whether it is the machine that Carina runs on."""
        return self.address == LOCAL

    @property
    def public_address(self) -> str:
        """The address at which ports that the host publishes are reached; empty on one that publishes none."""
        return (self.fabric_address or self.address) if self.endpoint is Endpoint.PUBLISHED else ""


def twins(host: Host, hosts: Iterable[Host]) -> Sequence[Host]:
    """Return the hosts that are the same machine as `host` by another name.

    Others reach them at the very address of `host`, or they present its very key, which is known before anything else.
    """
    return [other for other in hosts if other.id != host.id and _same_machine(host, other)]


def _same_machine(one: Host, other: Host) -> bool:
    return any(
        mine and mine == theirs
        for mine, theirs in (
            (one.fabric_address, other.fabric_address),
            (one.login.host_key, other.login.host_key),
        )
    )
