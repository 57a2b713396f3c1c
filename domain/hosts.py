"""Hosts: the machines that carry nodes, what they can do, and what an instance has claimed on them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class HostState(StrEnum):
    """Whether nodes may be placed on a host."""

    PREPARING = "preparing"
    READY = "ready"
    ERROR = "error"


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
class HostReport:
    """What a host can do, measured. `capabilities` are the names of features that clusters depend on."""

    checks: Sequence[Check]
    capabilities: frozenset[str]
    mtu: int
    cgroup_version: int

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
class Host:
    """A machine that carries nodes. `address` is `local` for the machine that Carina runs on.

    `root` is the directory on the host that holds all that the instance keeps there.
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
