"""The tables. What has to be unique is unique here, so that a lost race is an error and never a double booking.

Every row that belongs to a tenant says so. Hosts belong to the operator; steps belong to their operation.
"""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ColumnElement,
    Index,
    LargeBinary,
    MetaData,
    UniqueConstraint,
    func,
    text,
)
from sqlmodel import Field, SQLModel

from domain.clusters import ClusterStatus, Health
from domain.hosts import Endpoint, HostState
from domain.images import ImageState
from domain.nodes import NodeState
from domain.operations import LOCKING_STATES, OperationState
from domain.overlays import OverlayState
from store.columns import UtcDateTime, now

DEFAULT_TENANT = "admin"
"""The tenant that the first migration makes: the administrator."""

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Table(SQLModel):
    """What all tables share: names of constraints that migrations can refer to."""

    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMING_CONVENTION)


def _one_lock_per(column: str) -> Index:
    """Return the index that lets a cluster or a host have one operation in a locking state and no second."""
    states = ", ".join(f"'{state}'" for state in sorted(LOCKING_STATES))
    where = text(f"state IN ({states})")
    return Index(f"uq_operations_{column}_locked", column, unique=True, sqlite_where=where, postgresql_where=where)


def _lower_name() -> ColumnElement[str]:
    return func.lower(text("name"))


class TenantRow(Table, table=True):
    """An owner of clusters."""

    __tablename__ = "tenants"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class HostRow(Table, table=True):
    """A machine that carries nodes. `address` has the SSH port too where that is not the usual one: see `mapping`."""

    __tablename__ = "hosts"
    __table_args__ = (Index("uq_hosts_lower_name", _lower_name(), unique=True),)

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    address: str = Field(unique=True)
    root: str
    state: str = HostState.PREPARING
    claim: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))
    mtu: int
    image: str = ""
    capabilities: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    login: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    zone: str = ""
    cordoned: bool = False
    endpoint: str = Endpoint.DIRECT
    fabric_address: str = ""
    fabric_address_given: bool = False
    device: str = ""
    size: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    report: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))
    measured_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    unreachable: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    updated_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class ClusterRow(Table, table=True):
    """A cluster. `slot` and `subnet` are held from when they are chosen until nothing of the cluster is left.

    They are chosen with the first reservation, or when the cluster is accepted if they were asked for. `type` and
    `options` are kept whole: a cluster stays what it was made as, whatever is configured later.
    """

    __tablename__ = "clusters"
    __table_args__ = (
        Index(
            "uq_clusters_name",
            "tenant_id",
            _lower_name(),
            unique=True,
            sqlite_where=text("status <> 'deleted'"),
            postgresql_where=text("status <> 'deleted'"),
        ),
    )

    id: str = Field(primary_key=True)
    tenant_id: str = Field(foreign_key="tenants.id")
    name: str
    type: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    options: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    status: str = ClusterStatus.CREATING
    health: str = Health.UNKNOWN
    conditions: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    capabilities: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    node_count: int
    slot: int | None = Field(default=None, unique=True)
    subnet: str | None = Field(default=None, unique=True)
    segment_mtu: int | None = None
    error: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    updated_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class OperationRow(Table, table=True):
    """A change to a cluster or a host. Those to a host belong to the operator's tenant."""

    __tablename__ = "operations"
    __table_args__ = (_one_lock_per("cluster_id"), _one_lock_per("host_id"))

    id: str = Field(primary_key=True)
    tenant_id: str = Field(foreign_key="tenants.id")
    kind: str
    state: str = Field(default=OperationState.PENDING, index=True)
    cluster_id: str | None = Field(default=None, foreign_key="clusters.id", index=True)
    cluster_name: str | None = None
    host_id: str | None = Field(default=None, foreign_key="hosts.id", index=True)
    params: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    error: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))
    workflow_id: str
    run_id: str | None = None
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class NodeRow(Table, table=True):
    """A node, and all that is reserved for it until it is released.

    `operation_id` is the operation that reserved it, `removed_by` the one that is removing it. `api_port` is the port
    of its host that leads to its native API, where the host publishes ports.
    """

    __tablename__ = "nodes"
    __table_args__ = (
        UniqueConstraint("cluster_id", "index"),
        UniqueConstraint("cluster_id", "name"),
        UniqueConstraint("host_id", "uid_slot"),
        Index("uq_nodes_host_id_api_port", "host_id", "api_port", unique=True),
    )

    id: str = Field(primary_key=True)
    tenant_id: str = Field(foreign_key="tenants.id")
    cluster_id: str = Field(foreign_key="clusters.id")
    operation_id: str = Field(foreign_key="operations.id", index=True)
    removed_by: str | None = Field(default=None, foreign_key="operations.id")
    host_id: str = Field(foreign_key="hosts.id")
    index: int
    name: str
    role: str
    state: str = NodeState.RESERVED
    uid_slot: int
    address: str = Field(unique=True)
    container: str = Field(unique=True)
    image: str
    api_port: int | None = None
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class OverlayRow(Table, table=True):
    """An overlay network of a cluster. One without a subnet is a namespace, of which `services` can be reached."""

    __tablename__ = "overlays"
    __table_args__ = (UniqueConstraint("cluster_id", "subnet"),)

    cluster_id: str = Field(foreign_key="clusters.id", primary_key=True)
    name: str = Field(primary_key=True)
    tenant_id: str = Field(foreign_key="tenants.id")
    subnet: str | None
    mtu: int
    attachable: bool
    encrypted: bool
    services: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    state: str = OverlayState.PENDING
    error: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))
    verified_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class PublicationRow(Table, table=True):
    """A port that leads to a cluster: the same one on each of its hosts that publish ports."""

    __tablename__ = "publications"

    host_port: int = Field(primary_key=True)
    protocol: str = Field(primary_key=True)
    cluster_id: str = Field(foreign_key="clusters.id", index=True)
    tenant_id: str = Field(foreign_key="tenants.id")
    node_port: int
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class ImageRow(Table, table=True):
    """An archive of container images that was loaded into a cluster, by the digest of its bytes."""

    __tablename__ = "images"

    cluster_id: str = Field(foreign_key="clusters.id", primary_key=True)
    digest: str = Field(primary_key=True)
    tenant_id: str = Field(foreign_key="tenants.id")
    names: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    size_bytes: int = Field(sa_type=BigInteger)
    state: str = ImageState.PENDING
    error: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class StepRow(Table, table=True):
    """One attempt of one step of an operation."""

    __tablename__ = "steps"

    operation_id: str = Field(foreign_key="operations.id", primary_key=True)
    activity_id: str = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    name: str
    node: str | None = None
    host: str | None = None
    state: str
    error: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))
    note: str | None = None
    started_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class SecretRow(Table, table=True):
    """A secret of a cluster, sealed; never in the clear."""

    __tablename__ = "secrets"

    cluster_id: str = Field(foreign_key="clusters.id", primary_key=True)
    name: str = Field(primary_key=True)
    tenant_id: str = Field(foreign_key="tenants.id")
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class IdempotencyKeyRow(Table, table=True):
    """A key that a client sent with a request, and what was accepted for it."""

    __tablename__ = "idempotency_keys"

    tenant_id: str = Field(foreign_key="tenants.id", primary_key=True)
    key: str = Field(primary_key=True)
    request_digest: str
    operation_id: str = Field(foreign_key="operations.id")
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class OrphanRow(Table, table=True):
    """Something on a host that has no owner here, and when it was first seen."""

    __tablename__ = "orphans"

    host_id: str = Field(foreign_key="hosts.id", primary_key=True)
    name: str = Field(primary_key=True)
    first_seen_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
