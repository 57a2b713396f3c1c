"""What an instance keeps in its database, read past the service."""

import sqlite3
from contextlib import closing
from typing import Any

from installation import Installation


def rows(installation: Installation, query: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{installation.home / 'carina.db'}?mode=ro", uri=True, timeout=10)) as database:
        return database.execute(query, values).fetchall()


def held_by(installation: Installation, cluster_id: str) -> dict[str, list[Any]]:
    """What the rows of a cluster hold: nodes' reservations, secrets, its network."""
    return {
        "nodes": rows(installation, "SELECT name, state FROM nodes WHERE cluster_id = ?", cluster_id),
        "secrets": rows(installation, "SELECT name FROM secrets WHERE cluster_id = ?", cluster_id),
        "network": rows(installation, "SELECT subnet FROM clusters WHERE id = ? AND subnet IS NOT NULL", cluster_id),
    }


NOTHING: dict[str, list[Any]] = {"nodes": [], "secrets": [], "network": []}
