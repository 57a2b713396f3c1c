"""Temporal servers for all tests, and an instance with a worker for each."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
import workflow_testbed
from sqlalchemy import Engine
from temporalio.testing import WorkflowEnvironment
from workflow_testbed import BINARIES, Bed, running, start_real_server

from activities import progress
from store.engine import make_engine
from store.migrate import upgrade
from worker import temporal_worker


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[WorkflowEnvironment]:
    """The real Temporal server, as the embedded service runs it, with its state in memory."""
    async with await start_real_server() as environment:
        yield environment


@pytest.fixture(scope="session")
async def patient_temporal() -> AsyncIterator[WorkflowEnvironment]:
    """A Temporal server that skips the time in which nothing happens, so that retries take none.

    Not for steps that are cancelled while they run: this server then loses the workflow's task if the step ends in the
    same moment (temporalio/sdk-java issue 2391). The real one does not.
    """
    server = str(BINARIES / "temporal-test-server")
    async with await WorkflowEnvironment.start_time_skipping(test_server_existing_path=server) as environment:
        yield environment


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with the schema and nothing in it: migrating takes longer than most tests."""
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


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """Log as the service does off a terminal: structlog's own default draws each traceback, which takes seconds."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()])
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def fast_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let activities hear of a cancel, and workers stop, in a moment rather than in seconds."""
    monkeypatch.setattr(progress, "HEARTBEATS_PER_TIMEOUT", workflow_testbed.HEARTBEATS_PER_TIMEOUT)
    monkeypatch.setattr(temporal_worker, "HEARTBEAT_THROTTLE", workflow_testbed.HEARTBEAT_THROTTLE)
    monkeypatch.setattr(temporal_worker, "GRACEFUL_SHUTDOWN", workflow_testbed.GRACEFUL_SHUTDOWN)


@pytest.fixture
def idle_bed(temporal: WorkflowEnvironment, engine: Engine, tmp_path: Path) -> Bed:
    """An instance with a host that is ready, and without a worker."""
    bed = Bed(temporal.client, engine, tmp_path / "vault.key")
    bed.ready_host()
    return bed


@pytest.fixture
async def bed(idle_bed: Bed) -> AsyncIterator[Bed]:
    """An instance with a host that is ready, and a worker."""
    async with running(idle_bed):
        yield idle_bed


@pytest.fixture
async def patient_bed(patient_temporal: WorkflowEnvironment, engine: Engine, tmp_path: Path) -> AsyncIterator[Bed]:
    """The same on the server that skips time: for what is tried again until its time is up."""
    bed = Bed(patient_temporal.client, engine, tmp_path / "vault.key")
    bed.ready_host()
    async with running(bed):
        yield bed
