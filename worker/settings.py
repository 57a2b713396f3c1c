"""The settings of the service, and the only place that reads the environment."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.clusters import DEFAULT_KUBERNETES
from domain.instance import PREFIX


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
