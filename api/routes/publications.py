"""/clusters/{cluster_id}/publications."""

import re
from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BeforeValidator

from api import paging
from api.context import InContext
from api.host_bodies import PublicationIn
from api.host_schemas import PublicationListOut, PublicationOut
from api.ids import ClusterId
from api.routes.common import errors, point_to_operation
from api.services import publications
from domain.errors import InvalidInput, NotFound
from domain.publications import Protocol

_PORT = re.compile(r"[1-9][0-9]{0,4}")
_MARKER = re.compile(r"([1-9][0-9]{0,4})/(tcp|udp)")
router = APIRouter(tags=["published ports"])


def _port(value: object) -> int:
    if not isinstance(value, str) or not _PORT.fullmatch(value):
        raise NotFound(f"There is no port {str(value)[:64]!r}.")
    return int(value)


def _protocol(value: object) -> Protocol:
    if value not in set(Protocol):
        raise NotFound(f"No port speaks {str(value)[:64]!r}.")
    return Protocol(str(value))


HostPort = Annotated[int, BeforeValidator(_port), Path()]
PortProtocol = Annotated[Protocol, BeforeValidator(_protocol), Path()]


@router.get("/clusters/{cluster_id}/publications", summary="List published ports", responses=errors(400, 404))
async def list_publications(
    context: InContext,
    cluster_id: ClusterId,
    limit: paging.Limit = paging.MAX_LIMIT,
    marker: paging.Marker = None,
) -> PublicationListOut:
    """Return the ports that lead to the cluster, by port and protocol; those of native APIs are not among them."""
    page = await publications.list_publications(context, cluster_id, limit=limit, after=_after(marker))
    links = paging.next_links(page, f"/clusters/{cluster_id}/publications", limit=limit)
    return PublicationListOut(publications=[PublicationOut.model_validate(item) for item in page.items], links=links)


@router.post(
    "/clusters/{cluster_id}/publications", summary="Publish a port", status_code=202, responses=errors(400, 404, 409)
)
async def publish(context: InContext, cluster_id: ClusterId, body: PublicationIn, response: Response) -> PublicationOut:
    """Accept that a port of the cluster's hosts is to lead to a port of its nodes.

    On each host that publishes ports it leads to the cluster's node there that has the lowest number. Refused for a
    cluster all of whose hosts are `direct`, whose nodes are reached at their own addresses.
    """
    accepted, publication = await publications.publish(
        context, cluster_id, host_port=body.host_port, node_port=body.node_port, protocol=body.protocol
    )
    point_to_operation(response, accepted)
    return PublicationOut.model_validate(publication)


@router.delete(
    "/clusters/{cluster_id}/publications/{host_port}/{protocol}",
    summary="Withdraw a published port",
    status_code=202,
    responses=errors(404, 409),
)
async def unpublish(
    context: InContext, cluster_id: ClusterId, host_port: HostPort, protocol: PortProtocol, response: Response
) -> PublicationOut:
    """Accept that the port is to lead to the cluster no more."""
    accepted, publication = await publications.unpublish(context, cluster_id, host_port, protocol)
    point_to_operation(response, accepted)
    return PublicationOut.model_validate(publication)


def _after(marker: str | None) -> tuple[int, str] | None:
    if marker is None:
        return None
    found = _MARKER.fullmatch(marker)
    if found is None:
        raise InvalidInput(f"The marker {marker!r} is no port.", field="marker", remedy="Take the list's 'next' link.")
    return int(found[1]), found[2]
