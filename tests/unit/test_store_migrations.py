"""The schema that migrations make is the one that the program uses."""

import threading
import warnings
from datetime import datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import StatementError

from store.migrate import downgrade, upgrade
from store.tables import DEFAULT_TENANT, Table


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


def test_a_naive_time_is_refused(engine: Engine) -> None:
    with engine.begin() as connection, pytest.raises(StatementError, match="naive"):
        connection.execute(
            Table.metadata.tables["tenants"].insert().values(id="x", name="x", created_at=datetime(2026, 1, 1))  # noqa: DTZ001
        )
