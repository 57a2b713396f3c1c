"""Starts operations' workflows in Temporal, and watches them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio.client import (
    Client,
    WorkflowContinuedAsNewError,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from api.ports import AlreadyRunning, RunState
from api.starts import start_of
from domain.errors import Unavailable
from store.views import OperationView
from workflows.names import SEARCH_CLUSTER, SEARCH_OPERATION, SEARCH_TENANT

RPC_TIMEOUT = timedelta(seconds=3)
_MEMO_OPERATION = "operation_id"
_NAMESPACE_MISSING = "NamespaceNotFoundFailure"
_OUR_FAULT = frozenset({RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.FAILED_PRECONDITION})


class TemporalStarter:
    """Fits `api.ports.Starter`. A run is known for an operation's by the memo that it was started with."""

    def __init__(self, client: Client, *, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue

    async def start(self, operation: OperationView) -> None:
        """Start the operation's workflow; the server refuses a second one under the same workflow id."""
        start = start_of(operation)
        try:
            async with _bounded():
                await self._client.start_workflow(
                    start.workflow,
                    start.input,
                    id=start.workflow_id,
                    task_queue=self._task_queue,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    memo={_MEMO_OPERATION: operation.id},
                    search_attributes=_search_attributes(operation),
                    static_summary=start.summary,
                    static_details=start.details,
                    rpc_timeout=RPC_TIMEOUT,
                )
        except WorkflowAlreadyStartedError as error:
            if await self._own_run(operation) is None:
                raise AlreadyRunning(f"{start.workflow_id} runs for another operation.") from error

    async def cancel(self, operation: OperationView) -> None:
        """Ask the operation's own run to cancel, never another one under the same workflow id."""
        run = await self._own_run(operation)
        if run is None or run.status is not WorkflowExecutionStatus.RUNNING:
            return
        async with _bounded():
            try:
                await self._handle(operation, run.run_id).cancel(rpc_timeout=RPC_TIMEOUT)
            except RPCError as error:
                if not _says_missing(error):
                    raise

    async def wait_closed(self, operation: OperationView) -> None:
        """Return once the operation's own run is closed or missing. The server is asked by a long poll."""
        run = await self._own_run(operation)
        if run is None or run.status is not WorkflowExecutionStatus.RUNNING:
            return
        try:
            await self._handle(operation, run.run_id).result(follow_runs=False)
        except (WorkflowFailureError, WorkflowContinuedAsNewError):
            return  # how it ended stands on the operation's row; here it only matters that it has
        except RPCError as error:
            if not _says_missing(error):
                raise Unavailable(f"Temporal stopped answering: {error.message}") from error

    async def describe(self, operation: OperationView) -> RunState:
        """Say how the operation's own run stands."""
        run = await self._own_run(operation)
        if run is None:
            return RunState.MISSING
        return RunState.RUNNING if run.status is WorkflowExecutionStatus.RUNNING else RunState.CLOSED

    async def probe(self) -> None:
        """Raise `Unavailable` unless Temporal's frontend serves."""
        async with _bounded():
            serving = await self._client.service_client.check_health(timeout=RPC_TIMEOUT)
        if not serving:
            raise Unavailable("Temporal is not serving.")

    async def _own_run(self, operation: OperationView) -> WorkflowExecutionDescription | None:
        """Return the run of this operation, None if there is none; the newest one where its run id is not known."""
        async with _bounded():
            try:
                run = await self._handle(operation, operation.run_id).describe(rpc_timeout=RPC_TIMEOUT)
            except RPCError as error:
                if _says_missing(error):
                    return None
                raise
        return run if await run.memo_value(_MEMO_OPERATION, default=None) == operation.id else None

    def _handle(self, operation: OperationView, run_id: str | None) -> WorkflowHandle[object, object]:
        return self._client.get_workflow_handle(start_of(operation).workflow_id, run_id=run_id)


@asynccontextmanager
async def _bounded() -> AsyncIterator[None]:
    """Bound a call to Temporal, and raise `Unavailable` whatever way it fails to get through.

    What Temporal got and refused as wrong stays an `RPCError`: waiting does not mend it.
    """
    try:
        # The call's own timeout does not cover the connecting that a lazy client does first.
        async with asyncio.timeout(RPC_TIMEOUT.total_seconds()):
            yield
    except TimeoutError as error:
        raise Unavailable("Temporal does not answer.") from error
    except RPCError as error:
        if error.status in _OUR_FAULT:
            raise
        raise Unavailable(f"Temporal did not take the call: {error.status.name.lower()}, {error.message}") from error
    except RuntimeError as error:  # what a lazy client raises when it can't connect
        raise Unavailable(f"Temporal can't be reached: {error}") from error


def _search_attributes(operation: OperationView) -> TypedSearchAttributes:
    values = {
        SEARCH_CLUSTER: operation.cluster_name,
        SEARCH_TENANT: operation.tenant_id,
        SEARCH_OPERATION: operation.kind.value,
    }
    return TypedSearchAttributes(
        [SearchAttributePair(SearchAttributeKey.for_keyword(name), value) for name, value in values.items() if value]
    )


def _says_missing(error: RPCError) -> bool:
    """Tell a workflow that is not there from a namespace that is not: the latter must not close any operation."""
    if error.status is not RPCStatusCode.NOT_FOUND:
        return False
    return not any(_NAMESPACE_MISSING in detail.type_url for detail in error.grpc_status.details)
