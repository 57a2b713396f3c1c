"""/hosts. For administrators."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api import paging
from api.context import InAdminContext
from api.host_bodies import HostIn, HostTaskIn
from api.host_schemas import (
    CheckOut,
    ClusterRefOut,
    HostListOut,
    HostNodeListOut,
    HostNodeOut,
    HostOut,
    HostReportOut,
    PreviewOut,
)
from api.ids import HostId, check_marker
from api.routes.common import errors, point_to_operation
from api.schemas import NodeOut
from api.services import hosts
from store.views import HostAccepted, HostNodeView, HostView

router = APIRouter(tags=["hosts"])


@router.get("/hosts", summary="List hosts", responses=errors(400, 403))
async def list_hosts(
    context: InAdminContext,
    limit: paging.Limit = paging.MAX_LIMIT,
    marker: paging.Marker = None,
    name: Annotated[str | None, Query(description="Only the host of this name, in any case.")] = None,
) -> HostListOut:
    """Return the machines that carry nodes, the service's own among them, oldest first."""
    page = await hosts.list_hosts(context, limit=limit, marker=check_marker(marker), name=name)
    links = paging.next_links(page, "/hosts", limit=limit, name=name)
    return HostListOut(hosts=[HostOut.model_validate(item) for item in page.items], links=links)


@router.post("/hosts", summary="Add a host", status_code=202, responses=errors(400, 403, 409, 502))
async def add_host(context: InAdminContext, body: HostIn, response: Response) -> HostOut:
    """Accept a machine and return it at once; its operation, named by Location, says how the preparation goes.

    Without `host_key` nothing is stored: the answer is the error `host-key-unconfirmed`, which has the `host_key` that
    the machine presents. Send it back with the request once somebody has compared it.
    """
    return _accepted(await hosts.add_host(context, body.asked()), response)


@router.post("/hosts/preview", summary="See what adding a host would do", responses=errors(400, 403, 409, 502))
async def preview_host(context: InAdminContext, body: HostIn) -> PreviewOut:
    """Connect to a machine, measure it, and return what preparing it would change. Changes nothing."""
    report, changes = await hosts.preview_host(context, body.asked())
    checks = [CheckOut.model_validate(check) for check in report.checks]
    return PreviewOut(report=HostReportOut(checks=checks, measured_at=datetime.now(UTC)), changes=changes)


@router.get("/hosts/{host_id}", summary="Get a host", responses=errors(403, 404))
async def get_host(context: InAdminContext, host_id: HostId) -> HostOut:
    """Return a host; 404 once it is removed."""
    return HostOut.model_validate(await hosts.get_host(context, host_id))


@router.delete("/hosts/{host_id}", summary="Remove a host", status_code=202, responses=errors(403, 404, 409))
async def remove_host(
    context: InAdminContext,
    host_id: HostId,
    response: Response,
    *,
    force: Annotated[
        bool, Query(description="The host is dead for good: give up its nodes, and have them made anew elsewhere.")
    ] = False,
) -> HostOut:
    """Accept the host's end, refused while it carries nodes unless it is forced. It is gone when GET answers 404."""
    return _answer(await hosts.change_host(context, host_id, "remove", force=force), response)


@router.get("/hosts/{host_id}/report", summary="Get what a host can do", responses=errors(403, 404))
async def get_report(context: InAdminContext, host_id: HostId) -> HostReportOut:
    """Return what was last measured of the host, what each line means for clusters, and what mends it."""
    return HostReportOut.model_validate(await hosts.get_report(context, host_id))


@router.get("/hosts/{host_id}/nodes", summary="List the nodes on a host", responses=errors(400, 403, 404))
async def list_nodes(
    context: InAdminContext,
    host_id: HostId,
    limit: paging.Limit = paging.MAX_LIMIT,
    marker: paging.Marker = None,
) -> HostNodeListOut:
    """Return the nodes that the host carries, of all owners, oldest first."""
    page = await hosts.list_nodes(context, host_id, limit=limit, marker=check_marker(marker))
    links = paging.next_links(page, f"/hosts/{host_id}/nodes", limit=limit)
    return HostNodeListOut(nodes=[_node(item) for item in page.items], links=links)


@router.post("/hosts/{host_id}/tasks", summary="Change a host", status_code=202, responses=errors(400, 403, 404, 409))
async def run_task(context: InAdminContext, host_id: HostId, body: HostTaskIn, response: Response) -> HostOut:
    """Cordon a host (it takes no new nodes) or uncordon it, at once and without a Location; or accept an operation.

    `drain` cordons the host and has its nodes made anew elsewhere; `prepare` prepares it again, which changes nothing
    but what has gone missing; `remove` is DELETE.
    """
    return _answer(
        await hosts.change_host(context, host_id, body.type, force=body.input.force, host_key=body.input.host_key),
        response,
    )


def _answer(changed: HostAccepted | HostView, response: Response) -> HostOut:
    if isinstance(changed, HostAccepted):
        return _accepted(changed, response)
    return HostOut.model_validate(changed)


def _accepted(accepted: HostAccepted, response: Response) -> HostOut:
    point_to_operation(response, accepted)
    return HostOut.model_validate(accepted.host)


def _node(view: HostNodeView) -> HostNodeOut:
    cluster = ClusterRefOut(id=view.cluster_id, name=view.cluster_name)
    return HostNodeOut(**dict(NodeOut.model_validate(view.node)), cluster=cluster)
