"""Damage done to an instance's database on purpose."""

import sqlite3
from contextlib import closing

from installation import Installation


def forget_node(installation: Installation, node_id: str) -> None:
    """Drop a node's row, and with it the count, as if it had never been."""
    with closing(sqlite3.connect(installation.home / "carina.db", timeout=10)) as database, database:
        (cluster_id,) = database.execute("SELECT cluster_id FROM nodes WHERE id = ?", (node_id,)).fetchone()
        database.execute("DELETE FROM nodes WHERE id = ?", (node_id,))
        database.execute("UPDATE clusters SET node_count = node_count - 1 WHERE id = ?", (cluster_id,))
