"""Connections to the database: SQLite for the embedded default, PostgreSQL in production."""

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url

READ_ONLY = "carina_read_only"
"""The execution option of a transaction that only reads."""

_BUSY_TIMEOUT_MS = 30_000
_POOL_SIZE = 10
_POOL_OVERFLOW = 20


def make_engine(url: str) -> Engine:
    """Return an engine for `url`: `sqlite:///path` or `postgresql://...` (psycopg 3).

    Its errors name statements and never the values in them.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        return create_engine(
            parsed, pool_size=_POOL_SIZE, max_overflow=_POOL_OVERFLOW, pool_pre_ping=True, hide_parameters=True
        )
    engine = create_engine(parsed, pool_size=_POOL_SIZE, max_overflow=_POOL_OVERFLOW, hide_parameters=True)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself: see _begin_sqlite
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    # FULL costs each write about 0.4 ms more than NORMAL on a virtual disk; what was accepted survives a power cut.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at the start: one that begins by reading can't get it later if another wrote since.

    SQLite then answers 'database is locked' at once, whatever the busy timeout (sqlite.org/isolation.html).
    """
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
