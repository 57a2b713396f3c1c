"""What routes share."""

from fastapi import Response

from api.schemas import ErrorsOut
from store.views import Accepted, HostAccepted

Documented = dict[int | str, dict[str, object]]
_MEANINGS = {
    400: "A field of the request is wrong; the error names it.",
    401: "No valid token came with the request.",
    403: "The token is not an administrator's.",
    404: "There is no such thing, or not yet.",
    406: "The API-Version asked for is not served.",
    409: "The request is at odds with what there is, or another operation is changing it.",
    413: "The body is too large.",
    502: "The host does not answer, or lets Carina not in.",
    507: "The service's disk has no room for what is sent.",
}


def errors(*statuses: int) -> Documented:
    """Return the documentation of error answers, those that any call can get among them."""
    return {status: {"model": ErrorsOut, "description": _MEANINGS[status]} for status in sorted({401, 406, *statuses})}


def point_to_operation(response: Response, accepted: Accepted | HostAccepted) -> None:
    """Say in the Location header where the change that was accepted can be watched."""
    response.headers["Location"] = f"/operations/{accepted.operation.id}"
