"""Brings a database to a schema, by alembic, from inside the program."""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

_LOCK_KEY = 0x6361_7269_6E61  # 'carina': any number will do, so long as nothing else on the database uses it


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest schema, in one transaction. Safe when two processes start at once."""
    _run(engine, lambda config: command.upgrade(config, "head"))


def downgrade(engine: Engine, revision: str) -> None:
    """Take the database back to `revision`, `base` for an empty one, in one transaction."""
    _run(engine, lambda config: command.downgrade(config, revision))


def _run(engine: Engine, work: Callable[[Config], None]) -> None:
    """Let one process at a time migrate: on SQLite, the transaction's start takes the write lock (see `engine`)."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        config.attributes["connection"] = connection
        work(config)
