"""Databases for the store's tests: SQLite files, and a PostgreSQL server of the test run's own."""

import fcntl
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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

_HOMES = "/var/tmp"
_HOME_PREFIX = "carina-test-pg-"


def _postgres_bin() -> Path:
    """Return the newest of Debian's PostgreSQL servers, which are not on the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    assert found, "the store's tests need Debian's package 'postgresql'"
    return found[-1]


class PostgresServer:
    """A server that listens on a socket in its own directory only. It refuses to run as root, so it runs as nobody.

    Its directory is locked while its test run lives; a directory without a holder was left by a killed run.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._data = home / "data"
        self._tools = _postgres_bin()
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam("nobody")
            self._as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def start(self) -> None:
        if self._as_user:
            os.chown(self.home, self._as_user["user"], self._as_user["group"])
        self._run("initdb", "-D", str(self._data), "-U", "carina", "-A", "trust", "--no-sync", "-E", "UTF8")
        options = f"-c listen_addresses='' -c unix_socket_directories={self.home} -c fsync=off -c max_connections=200"
        self._control("-l", str(self.home / "server.log"), "-o", options, "start")

    def remove(self) -> None:
        if (self._data / "postmaster.pid").exists() and self._status() == 0:
            self._control("-m", "immediate", "stop")
        shutil.rmtree(self.home)

    def _status(self) -> int:
        return self._run("pg_ctl", "-D", str(self._data), "status", check=False)

    def _control(self, *command: str) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-w", "-t", "60", *command)

    def _run(self, tool: str, *arguments: str, check: bool = True) -> int:
        with (self.home / "tools.log").open("ab") as log:
            return subprocess.run(
                [str(self._tools / tool), *arguments],
                check=check,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._as_user,
            ).returncode


def _remove_abandoned() -> None:
    for home in Path(_HOMES).glob(f"{_HOME_PREFIX}*"):
        with (home / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            PostgresServer(home).remove()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Start a PostgreSQL server for the test run."""
    _remove_abandoned()
    # Locked under a name that is not looked for, so that nobody takes it for abandoned before it is locked.
    unlocked = Path(tempfile.mkdtemp(prefix="carina-test-new-pg-", dir=_HOMES))
    with (unlocked / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        home = unlocked.rename(Path(_HOMES) / f"{_HOME_PREFIX}{uuid.uuid4().hex[:8]}")
        server = PostgresServer(home)
        try:
            server.start()
            yield f"postgresql://carina@/postgres?host={home}"
        finally:
            server.remove()


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
