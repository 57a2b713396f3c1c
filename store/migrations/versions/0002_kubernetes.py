"""Clusters keep their whole type, options and capabilities; overlays may be namespaces; images; notes on steps.

Credentials are no longer kept: they are minted when someone asks for them.
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SWARM = {
    "id": 22,
    "name": "Docker Swarm 26.1 on LXC",
    "coe": "swarm",
    "version": "26.1",
    "host_type": "lxc",
    "active": True,
}
_OPTIONS = {
    "network": "flannel",
    "pod_subnet": "",
    "service_subnet": "",
    "registry_mirrors": [],
    "insecure_registries": [],
}
_TYPE_IDS = {
    "sqlite": "UPDATE clusters SET type_id = json_extract(type, '$.id')",
    "postgresql": "UPDATE clusters SET type_id = (type ->> 'id')::integer",
}


def upgrade() -> None:
    # All clusters so far are swarms. Rows get that by a default, which SQLite can't drop without a new table: but
    # other tables refer to this one. The default stays there; the program always says what it stores.
    _add_to_clusters("type", _SWARM)
    _add_to_clusters("options", _OPTIONS)
    _add_to_clusters("capabilities", [])
    op.drop_column("clusters", "type_id")
    op.add_column("overlays", sa.Column("services", sa.JSON(), nullable=False, server_default="[]"))
    with op.batch_alter_table("overlays", copy_from=_overlays(_services("[]"))) as overlays:
        overlays.alter_column("subnet", existing_type=sa.String(), nullable=True)
        overlays.alter_column("services", existing_type=sa.JSON(), existing_nullable=False, server_default=None)
    op.add_column("steps", sa.Column("note", sa.String(), nullable=True))
    op.create_table(
        "images",
        sa.Column("cluster_id", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("names", sa.JSON(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["cluster_id"], ["clusters.id"], name=op.f("fk_images_cluster_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_images_tenant_id")),
        sa.PrimaryKeyConstraint("cluster_id", "digest", name=op.f("pk_images")),
    )
    op.execute("DELETE FROM secrets WHERE name = 'credentials'")


def downgrade() -> None:
    op.drop_table("images")
    op.drop_column("steps", "note")
    op.execute("DELETE FROM overlays WHERE subnet IS NULL")
    with op.batch_alter_table("overlays", copy_from=_overlays(_services(None))) as overlays:
        overlays.drop_column("services")
        overlays.alter_column("subnet", existing_type=sa.String(), nullable=False)
    op.add_column("clusters", sa.Column("type_id", sa.Integer(), nullable=False, server_default="22"))
    op.execute(_TYPE_IDS[op.get_bind().dialect.name])
    _drop_default("type_id", sa.Integer())
    for column in ("capabilities", "options", "type"):
        op.drop_column("clusters", column)


def _services(default: str | None) -> sa.Column[Any]:
    return sa.Column("services", sa.JSON(), nullable=False, server_default=default)


def _overlays(services: sa.Column[Any]) -> sa.Table:
    """Return the table as it is: SQLite can't alter a column, so the table is made anew from what is said here."""
    return sa.Table(
        "overlays",
        sa.MetaData(),
        sa.Column("cluster_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("subnet", sa.String(), nullable=False),
        sa.Column("mtu", sa.Integer(), nullable=False),
        sa.Column("attachable", sa.Boolean(), nullable=False),
        sa.Column("encrypted", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        services,
        sa.ForeignKeyConstraint(["cluster_id"], ["clusters.id"], name="fk_overlays_cluster_id"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_overlays_tenant_id"),
        sa.PrimaryKeyConstraint("cluster_id", "name", name="pk_overlays"),
        sa.UniqueConstraint("cluster_id", "subnet", name="uq_overlays_cluster_id_subnet"),
    )


def _add_to_clusters(name: str, value: object) -> None:
    op.add_column("clusters", sa.Column(name, sa.JSON(), nullable=False, server_default=json.dumps(value)))
    _drop_default(name, sa.JSON())


def _drop_default(column: str, kind: sa.types.TypeEngine[Any]) -> None:
    if op.get_bind().dialect.name != "sqlite":
        op.alter_column("clusters", column, existing_type=kind, existing_nullable=False, server_default=None)
