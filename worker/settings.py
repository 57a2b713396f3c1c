"""The settings of the service, and the only place that reads the environment."""

from collections.abc import Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.clusters import DEFAULT_KUBERNETES, ClusterType, cluster_types
from domain.errors import InvalidInput
from domain.instance import PREFIX
from domain.sizes import Size


class NodeSize(BaseModel):
    """What each node of a cluster type may use; what is left out has no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpus: float = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0


class Settings(BaseSettings):
    """Each field can be set by an environment variable: its name in capitals, after `CARINA_`."""

    model_config = SettingsConfigDict(env_prefix="CARINA_", extra="ignore", frozen=True)

    home: Path = Field(
        default=Path("/var/lib/carina"),
        description="Directory for all that this instance keeps: databases, keys, the host's storage pool, logs.",
    )
    listen: str = Field(default="127.0.0.1:8440", description="Address and port of the HTTP API.")
    database_url: str = Field(
        default="",
        description="SQLAlchemy URL of Carina's database. Empty: an SQLite file in the home.",
    )
    temporal_address: str = Field(
        default="",
        description="Address and port of a Temporal server. Empty: 'carinad up' runs one, on a file in the home.",
    )
    temporal_namespace: str = Field(default="default", description="Temporal namespace.")
    temporal_ui: str = Field(default="", description="URL of the Temporal web UI, for people. Empty: the embedded one.")
    prefix: str = Field(
        default="",
        description="The instance's prefix, a letter and three of a-z0-9. Empty: one is made at the first start.",
        pattern=rf"^$|{PREFIX.pattern}",
    )
    node_network: str = Field(
        default="",
        description="CIDR from which clusters take their subnets. Empty: the first free /16 of 10.64.0.0/10.",
    )
    uid_ranges: int = Field(
        default=1024, ge=1, le=16384, description="How many nodes' uid ranges (65,536 ids each) to claim on a host."
    )
    pool_bytes: int = Field(
        default=0,
        ge=0,
        description="Size in bytes of the storage pool's file. 0: most of what the disk has free, at most 200 GiB.",
    )
    kubernetes: dict[int, str] = Field(
        default=dict(DEFAULT_KUBERNETES),
        description="Versions of Kubernetes to make clusters of, by cluster type id, as JSON. Each needs its release.",
    )
    node_sizes: dict[int, NodeSize] = Field(
        default={},
        description=(
            "What each node of new clusters may use, by cluster type id, as JSON: "
            '{"22": {"cpus": 2, "memory_bytes": 4294967296, "disk_bytes": 21474836480}}. '
            "What is left out, or 0, has no limit. Memory and disk of a host are given away once, its CPUs four times."
        ),
    )
    host_capabilities: dict[int, list[str]] = Field(
        default={},
        description=(
            'What hosts must be capable of to carry new clusters, by cluster type id, as JSON: {"22": ["ipvs", "esp"]}.'
        ),
    )
    management_networks: list[IPv4Network] = Field(
        default=[],
        description="Networks (CIDR, a JSON list) to which nodes open no connections, such as that of hosts' consoles.",
    )
    wireguard: bool = Field(
        default=False,
        description="Whether WireGuard encrypts what clusters send from host to host, where both kernels have it.",
    )
    max_upload_bytes: int = Field(
        default=20 * 1024**3, ge=1, description="The most bytes that an archive of container images may have."
    )
    cache: Path = Field(
        default=Path("/var/cache/carina"), description="Directory of node images and builds, shared by instances."
    )
    release_archives: str = Field(
        default="https://dl.k8s.io",
        pattern="^https?://",
        description="Address of the server with Kubernetes' official server archives, or of a mirror of it.",
    )
    node_ready_timeout_s: float = Field(
        default=60.0, gt=0, description="Seconds that a node's engine has to answer after the node's start."
    )
    sweep_grace_s: int = Field(
        default=900, ge=0, description="Seconds that an orphan has to be seen before the sweep removes it."
    )
    check_every_s: float = Field(
        default=15.0,
        ge=0,
        description="Seconds between looks at whether clusters are well, and their nodes run. 0: nobody looks.",
    )
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$", description="Least level logged.")

    @model_validator(mode="after")
    def _check_types(self) -> Self:
        """See to it that clusters can be made as said, before anything starts."""
        try:
            self.types  # noqa: B018 - only to see whether it raises
        except InvalidInput as error:
            message = f"{error.field}: {error.detail} {error.remedy}"
            raise ValueError(message) from error
        return self

    @property
    def types(self) -> Sequence[ClusterType]:
        """What clusters can be made of."""
        sizes = {kind: Size(size.cpus, size.memory_bytes, size.disk_bytes) for kind, size in self.node_sizes.items()}
        return cluster_types(self.kubernetes, sizes, self.host_capabilities)

    @property
    def guarded_networks(self) -> Sequence[str]:
        """The networks to which nodes open no connections, as text."""
        return [str(network) for network in self.management_networks]

    @property
    def database(self) -> str:
        """The database's URL, the default one filled in."""
        return self.database_url or f"sqlite:///{self.home / 'carina.db'}"

    @property
    def listen_host(self) -> str:
        """The address part of `listen`."""
        return self.listen.rpartition(":")[0].strip("[]") or "127.0.0.1"

    @property
    def listen_port(self) -> int:
        """The port part of `listen`."""
        return int(self.listen.rpartition(":")[2])
