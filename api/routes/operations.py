"""/operations, and the operations of a cluster."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from api import paging
from api.context import InContext
from api.ids import ClusterId, OperationId, check_marker
from api.routes.common import errors
from api.schemas import ErrorOut, OperationListOut, OperationOut, OperationSummaryOut, StepOut
from api.services import operations
from api.waits import LONGEST_S
from domain.operations import STEP_TITLES
from store.revisions import revision_of
from store.views import OperationView, StepView

WaitS = Annotated[
    float, Query(ge=0, le=LONGEST_S, description="With `revision`: how many seconds to wait for a change at most.")
]
Told = Annotated[
    str | None, Query(max_length=128, description="The last answer's `revision`: wait until it is another.")
]
router = APIRouter(tags=["operations"])


@router.get("/clusters/{cluster_id}/operations", summary="List operations on a cluster", responses=errors(400, 404))
async def list_operations(
    context: InContext,
    cluster_id: ClusterId,
    limit: paging.Limit = paging.MAX_LIMIT,
    marker: paging.Marker = None,
) -> OperationListOut:
    """Return what was and is being changed on the cluster, oldest first; of a deleted cluster too."""
    page = await operations.list_operations(context, cluster_id, limit=limit, marker=check_marker(marker))
    links = paging.next_links(page, f"/clusters/{cluster_id}/operations", limit=limit)
    return OperationListOut(operations=[OperationSummaryOut.model_validate(item) for item in page.items], links=links)


@router.get("/operations/{operation_id}", summary="Get an operation with its steps", responses=errors(400, 404))
async def get_operation(
    request: Request, context: InContext, operation_id: OperationId, wait_s: WaitS = 0.0, revision: Told = None
) -> OperationOut:
    """Return the operation and every attempt of every step: on which node and host, when, and what went wrong.

    To follow it, send the `revision` of the last answer with `wait_s`: the answer comes as soon as there is news.
    """
    if revision is not None:
        await operations.wait_for_change(context, operation_id, revision, wait_s=wait_s, gone=request.is_disconnected)
    return _operation(await operations.get_operation(context, operation_id))


def _operation(view: OperationView) -> OperationOut:
    summary = OperationSummaryOut.model_validate(view)
    return OperationOut(**dict(summary), steps=[_step(step) for step in view.steps], revision=str(revision_of(view)))


def _step(step: StepView) -> StepOut:
    return StepOut(
        name=step.name,
        title=STEP_TITLES.get(step.name, step.name),
        node=step.node,
        host=step.host,
        attempt=step.attempt,
        state=step.state,
        error=None if step.error is None else ErrorOut.model_validate(step.error),
        note=step.note,
        started_at=step.started_at,
        ended_at=step.ended_at,
    )
