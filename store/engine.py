"""Connections to the database: SQLite for the embedded default, PostgreSQL in production."""

from sqlalchemy import Engine


def make_engine(url: str) -> Engine:
    """Return an engine for `url`: `sqlite:///path` or `postgresql://...` (psycopg 3)."""
    raise NotImplementedError
