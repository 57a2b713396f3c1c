"""The schema that migrations make is the one that the program uses."""

import threading
import warnings
from datetime import datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import StatementError

from domain.clusters import SWARM, ClusterStatus
from domain.options import ClusterOptions
from store.migrate import downgrade, upgrade
from store.tables import DEFAULT_TENANT, Table
from tests.unit.store_stages import KUBERNETES, StoreFixture


def test_migrations_make_what_the_tables_describe(engine: Engine) -> None:
    with engine.connect() as connection, warnings.catch_warnings():
        # SQLite's expression indexes can't be reflected; what they do is tested in test_store_clusters.
        warnings.filterwarnings("ignore", message=".*expression-based index")
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []


def test_unique_indexes_are_the_same_whether_migrated_or_described(empty_engine: Engine) -> None:
    if empty_engine.dialect.name == "sqlite":
        query = text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name")
    else:
        query = text("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname")
    upgrade(empty_engine)
    with empty_engine.connect() as connection:
        migrated = {name: sql for name, sql in connection.execute(query) if "alembic" not in name}
    downgrade(empty_engine, "base")
    Table.metadata.create_all(empty_engine)
    with empty_engine.connect() as connection:
        described = {name: sql for name, sql in connection.execute(query) if "alembic" not in name}
    assert migrated == described
    assert "uq_clusters_name" in migrated


def test_upgrade_twice_changes_nothing_and_keeps_rows(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE tenants SET name = 'renamed'"))
    upgrade(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT id, name FROM tenants")).all() == [(DEFAULT_TENANT, "renamed")]


def test_downgrade_leaves_no_table_and_upgrade_comes_back(engine: Engine) -> None:
    downgrade(engine, "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    upgrade(engine)
    assert set(Table.metadata.tables) < set(inspect(engine).get_table_names())


def test_processes_that_start_at_once_migrate_once(empty_engine: Engine) -> None:
    errors: list[BaseException] = []
    barrier = threading.Barrier(4)

    def start() -> None:
        try:
            barrier.wait()
            upgrade(empty_engine)
        except BaseException as error:  # noqa: BLE001 - shown below
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with empty_engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM tenants")).scalar_one() == 1


_NOW = "2026-01-01 00:00:00+00:00"
_ROWS = (
    """
    INSERT INTO clusters (id, tenant_id, name, type_id, status, health, conditions, node_count, slot, subnet,
                          segment_mtu, created_at, updated_at)
    VALUES ('c1', 'admin', 'old', 22, 'active', 'healthy', '[]', 1, 0, '10.64.0.0/24', 1500, :now, :now)
    """,
    """
    INSERT INTO operations (id, tenant_id, kind, state, cluster_id, params, workflow_id, created_at)
    VALUES ('o1', 'admin', 'create', 'succeeded', 'c1', '{}', 'cluster-c1', :now)
    """,
    """
    INSERT INTO overlays (cluster_id, name, tenant_id, subnet, mtu, attachable, encrypted, state, created_at)
    VALUES ('c1', 'carina', 'admin', '10.48.0.0/24', 1450, true, false, 'active', :now)
    """,
    """
    INSERT INTO steps (operation_id, activity_id, attempt, name, state, started_at)
    VALUES ('o1', '1', 1, 'ensure_node', 'succeeded', :now)
    """,
)


def _keep_secret(connection: Connection, name: str) -> None:
    statement = text("INSERT INTO secrets VALUES ('c1', :name, 'admin', :sealed, :now)")
    connection.execute(statement, {"name": name, "sealed": b"wax", "now": _NOW})


def _of_first_schema(engine: Engine) -> None:
    """Go back to the first schema, and leave there what its program would have."""
    downgrade(engine, "0001")
    with engine.begin() as connection:
        for statement in _ROWS:
            connection.execute(text(statement), {"now": _NOW})
        for name in ("authority", "client", "credentials"):
            _keep_secret(connection, name)


def test_what_the_first_schema_had_is_there_after_the_upgrade(store: StoreFixture) -> None:
    _of_first_schema(store.engine)
    upgrade(store.engine)
    cluster = store.repository.cluster("c1")
    assert (cluster.name, cluster.status, cluster.subnet) == ("old", ClusterStatus.ACTIVE, "10.64.0.0/24")
    assert (cluster.type, cluster.options, cluster.capabilities) == (SWARM, ClusterOptions(), ())
    assert store.records.cluster("c1").options == ClusterOptions()
    (overlay,) = store.repository.overlays("c1", limit=5, marker=None).items
    assert (overlay.name, overlay.subnet, overlay.mtu, overlay.services) == ("carina", "10.48.0.0/24", 1450, ())
    assert [step.note for step in store.repository.operation("o1").steps] == [None]
    assert store.repository.images("c1") == []
    kept = {name: store.records.secret("c1", name) for name in ("authority", "client", "credentials")}
    assert kept == {"authority": b"wax", "client": b"wax", "credentials": None}
    store.ready_host()
    assert store.repository.accept_resize("c1", 2) is not None


def test_the_first_schema_comes_back_with_what_it_can_hold(store: StoreFixture) -> None:
    store.ready_host()
    swarm, kubernetes = store.active("swarm", 1), store.active("k8s", 1, cluster_type=KUBERNETES)
    accepted, _ = store.repository.accept_overlay(kubernetes.id, name="shop", services=["web:80"])
    store.records.complete_operation(store.begin(accepted))
    downgrade(store.engine, "0001")
    with store.engine.connect() as connection:
        types = connection.execute(text("SELECT id, type_id FROM clusters ORDER BY id")).all()
        overlays = connection.execute(text("SELECT cluster_id, subnet FROM overlays ORDER BY cluster_id")).all()
    assert types == [(swarm.id, 22), (kubernetes.id, 20)]
    assert overlays == [(swarm.id, "10.48.0.0/24"), (kubernetes.id, "10.244.0.0/16")]


def test_the_machine_of_an_older_schema_is_reached_as_before(store: StoreFixture) -> None:
    before = store.ready_host()
    downgrade(store.engine, "0002")
    with store.engine.connect() as connection:
        assert connection.execute(text("SELECT name, address, state FROM hosts")).all() == [("metal", "local", "ready")]
    upgrade(store.engine)
    assert store.records.hosts() == [before]


def test_a_naive_time_is_refused(engine: Engine) -> None:
    with engine.begin() as connection, pytest.raises(StatementError, match="naive"):
        connection.execute(
            Table.metadata.tables["tenants"].insert().values(id="x", name="x", created_at=datetime(2026, 1, 1))  # noqa: DTZ001
        )
