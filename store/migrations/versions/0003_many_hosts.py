"""Hosts are reached over SSH, have zones and sizes, and publish ports that lead to nodes."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_HOSTS: Sequence[sa.Column[Any]] = (
    sa.Column("login", sa.JSON(), nullable=False, server_default="{}"),
    sa.Column("zone", sa.String(), nullable=False, server_default=""),
    sa.Column("cordoned", sa.Boolean(), nullable=False, server_default=sa.false()),
    sa.Column("endpoint", sa.String(), nullable=False, server_default="direct"),
    sa.Column("fabric_address", sa.String(), nullable=False, server_default=""),
    sa.Column("fabric_address_given", sa.Boolean(), nullable=False, server_default=sa.false()),
    sa.Column("device", sa.String(), nullable=False, server_default=""),
    sa.Column("size", sa.JSON(), nullable=False, server_default="{}"),
)


def upgrade() -> None:
    # SQLite can't drop a default without a new table, to which others refer: the defaults stay there. The program
    # always says what it stores.
    for column in _HOSTS:
        op.add_column("hosts", column.copy())
        if op.get_bind().dialect.name != "sqlite":
            op.alter_column("hosts", column.name, existing_type=column.type, server_default=None)
    op.add_column("hosts", sa.Column("unreachable", sa.JSON(), nullable=True))
    op.create_index("uq_hosts_lower_name", "hosts", [sa.text("lower(name)")], unique=True)
    op.create_index(op.f("ix_operations_host_id"), "operations", ["host_id"])
    op.add_column("nodes", sa.Column("api_port", sa.Integer(), nullable=True))
    op.create_index("uq_nodes_host_id_api_port", "nodes", ["host_id", "api_port"], unique=True)
    op.create_table(
        "publications",
        sa.Column("host_port", sa.Integer(), nullable=False),
        sa.Column("protocol", sa.String(), nullable=False),
        sa.Column("cluster_id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("node_port", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["cluster_id"], ["clusters.id"], name=op.f("fk_publications_cluster_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_publications_tenant_id")),
        sa.PrimaryKeyConstraint("host_port", "protocol", name=op.f("pk_publications")),
    )
    op.create_index(op.f("ix_publications_cluster_id"), "publications", ["cluster_id"])


def downgrade() -> None:
    op.drop_table("publications")
    op.drop_index("uq_nodes_host_id_api_port", "nodes")
    op.drop_column("nodes", "api_port")
    op.drop_index(op.f("ix_operations_host_id"), "operations")
    op.drop_index("uq_hosts_lower_name", "hosts")
    op.drop_column("hosts", "unreachable")
    for column in reversed(_HOSTS):
        op.drop_column("hosts", column.name)
