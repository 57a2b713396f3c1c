"""Databases for the store's tests: SQLite files, and a PostgreSQL server of the test run's own."""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from domain.instance import Instance
from store.engine import make_engine
from store.migrate import upgrade
from store.outbox import Outbox
from store.records import StoreRecords
from store.repository import Repository
from store.tables import DEFAULT_TENANT
from tests.unit.store_stages import StoreFixture


def _postgres_bin() -> Path:
    """Return the newest of Debian's PostgreSQL servers, which are not on the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    assert found, "the store's tests need Debian's package 'postgresql'"
    return found[-1]


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Start a server that only listens on a socket in its own directory; it refuses to run as root."""
    tools = _postgres_bin()
    home = Path(tempfile.mkdtemp(prefix="carina-test-pg-", dir="/var/tmp"))
    data = home / "data"
    as_user: dict[str, object] = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam("nobody")
        os.chown(home, account.pw_uid, account.pw_gid)
        as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def run(*command: str) -> None:
        with (home / "tools.log").open("ab") as log:
            subprocess.run(  # type: ignore[call-overload]
                command, check=True, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **as_user
            )

    options = f"-c listen_addresses='' -c unix_socket_directories={home} -c fsync=off -c max_connections=200"
    control = (str(tools / "pg_ctl"), "-D", str(data), "-w", "-t", "60")
    try:
        run(str(tools / "initdb"), "-D", str(data), "-U", "carina", "-A", "trust", "--no-sync", "-E", "UTF8")
        run(*control, "-l", str(home / "server.log"), "-o", options, "start")
        yield f"postgresql://carina@/postgres?host={home}"
    finally:
        if (data / "postmaster.pid").exists():
            run(*control, "-m", "immediate", "stop")
        shutil.rmtree(home)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database without tables, of each kind."""
    if request.param == "sqlite":
        engine = make_engine(f"sqlite:///{tmp_path}/carina.db")
        yield engine
        engine.dispose()
        return
    url = request.getfixturevalue("postgres_url")
    name = f"test_{uuid.uuid4().hex}"
    server = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine = make_engine(url.replace("/postgres?", f"/{name}?"))
    yield engine
    engine.dispose()
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture
def engine(empty_engine: Engine) -> Engine:
    """A database with the present schema, of each kind."""
    upgrade(empty_engine)
    return empty_engine


@pytest.fixture
def store(engine: Engine) -> StoreFixture:
    return StoreFixture(
        engine, Repository(engine, DEFAULT_TENANT), StoreRecords(engine, Instance("tst0")), Outbox(engine)
    )
