from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from api_testbed import (
    HEADERS,
    KUBERNETES_VERSION,
    TENANT,
    TOKEN,
    FakeCredentials,
    FakeHostProbes,
    FakeReleases,
    FakeStarter,
    Testbed,
    add_host,
    instance,
)
from sqlalchemy import Engine

from api.app import ApiDependencies, create_app
from api.probes import database_probe
from api.tokens import AdminToken, digest
from store.archives import ArchiveFolder
from store.engine import make_engine
from store.migrate import upgrade
from store.records import StoreRecords

MAX_UPLOAD_BYTES = 8 * 1024 * 1024


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with the schema and nothing in it: migrating takes longer than all else in a test."""
    path = tmp_path_factory.mktemp("database") / "empty.db"
    engine = make_engine(f"sqlite:///{path}")
    upgrade(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    return path.read_bytes()


@pytest.fixture
def engine(tmp_path: Path, empty_database: bytes) -> Iterator[Engine]:
    path = tmp_path / "carina.db"
    path.write_bytes(empty_database)
    engine = make_engine(f"sqlite:///{path}")
    yield engine
    engine.dispose()


@pytest.fixture
async def bed(engine: Engine, tmp_path: Path) -> AsyncIterator[Testbed]:
    starter = FakeStarter()
    credentials = FakeCredentials()
    archives = tmp_path / "images"
    releases = FakeReleases({("swarm", "26.1"), ("kubernetes", KUBERNETES_VERSION)})
    probes = FakeHostProbes()
    app = create_app(
        ApiDependencies(
            engine=engine,
            tokens=AdminToken(digest(TOKEN), TENANT),
            starter=starter,
            credentials=credentials,
            archives=ArchiveFolder(archives, reserve_bytes=0),
            releases=releases,
            host_probes=probes,
            probes={"database": database_probe(engine)},
            start_timeout_s=0.05,
            max_upload_bytes=MAX_UPLOAD_BYTES,
        )
    )
    records = StoreRecords(engine, instance())
    add_host(engine, records)
    launcher = app.state.parts.launcher
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://carina.test", headers=HEADERS
    ) as http:
        yield Testbed(http, app, engine, starter, launcher, records, credentials, archives, releases, probes)
    await launcher.close()
