"""Every error as the contract's body: `{"errors": [{code, title, detail, status, request_id, links, ...}]}`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from domain.errors import (
    BodyTooLarge,
    CarinaError,
    InvalidInput,
    MethodNotAllowed,
    NotFound,
    Unauthorized,
    Unavailable,
    UnsupportedVersion,
)

API_VERSION = "1.0"
_HTTP_BAD_REQUEST = 400
_HTTP_SERVER_ERROR = 500
_HTTP_BAD_GATEWAY = 502
_FORESEEN: Mapping[int, type[CarinaError]] = {
    400: InvalidInput,
    401: Unauthorized,
    404: NotFound,
    405: MethodNotAllowed,
    413: BodyTooLarge,
    503: Unavailable,
}
_REMEDIES: Mapping[str, str] = {
    "missing": "Send it.",
    "json_invalid": "Send valid JSON (RFC 8259).",
    "int_type": "Send a whole number, without quotes.",
    "int_parsing": "Send a whole number.",
    "bool_type": "Send true or false, without quotes.",
    "bool_parsing": "Send true or false.",
    "string_type": "Send a string.",
    "model_attributes_type": "Send a JSON object, with 'Content-Type: application/json'.",
    "list_type": "Send a list.",
    "extra_forbidden": "Leave it out, or check how it is spelt.",
    "dict_type": "Send a JSON object, with 'Content-Type: application/json'.",
}
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def request_id_of(scope: Scope) -> str:
    """Return the id that `RequestContext` gave the request."""
    return str(scope["state"]["request_id"])


def error_response(
    errors: Sequence[CarinaError], scope: Scope, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the errors as a response; its status is the first one's unless `status` is given."""
    code = errors[0].status if status is None else status
    items = [_item(error, status or error.status, request_id_of(scope)) for error in errors]
    # ASCII only: what a client sent may be quoted in a detail, and not all of that can be written as UTF-8.
    body = json.dumps({"errors": items}).encode("ascii")
    extra = {"WWW-Authenticate": "Token"} if isinstance(errors[0], Unauthorized) else {}
    return Response(body, code, {**extra, **(headers or {})}, media_type="application/json")


def _item(error: CarinaError, status: int, request_id: str) -> dict[str, Any]:
    item: dict[str, Any] = {
        "code": error.code,
        "title": error.title,
        "detail": error.detail,
        "status": status,
        "request_id": request_id,
        "links": [],
        "remedy": error.remedy,
    }
    if error.field is not None:
        item["field"] = error.field
    if isinstance(error, UnsupportedVersion):
        item |= {"min_version": API_VERSION, "max_version": API_VERSION}
    return {**error.extra, **item}


def internal_error(scope: Scope) -> Response:
    """Return the answer to a request that failed in a way nobody foresaw. Says nothing of how."""
    return error_response([CarinaError("An unforeseen error; the service's log has it under the request id.")], scope)


def install(app: FastAPI) -> None:
    """Make the app answer every error in the contract's words."""
    app.add_exception_handler(CarinaError, _on_carina_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(OperationalError, _on_database_error)
    app.add_exception_handler(PoolTimeoutError, _on_database_error)


async def _on_carina_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, CarinaError)  # noqa: S101 - what the handler is registered for
    if error.status == _HTTP_BAD_GATEWAY:  # a host's doing: where in here it came out says nothing
        _log.warning("http.host_failed", code=error.code, detail=error.detail)
    elif error.status >= _HTTP_SERVER_ERROR:
        _log.error("http.error", code=error.code, detail=error.detail, exc_info=error)
    return error_response([error], request.scope)


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what the handler is registered for
    return error_response([_invalid(problem) for problem in error.errors()], request.scope)


def _invalid(problem: Mapping[str, Any]) -> InvalidInput:
    """Put one of pydantic's findings into our words. What the client sent is not quoted: it may be anything."""
    kind, (place, *path) = str(problem["type"]), problem["loc"]
    remedy = _REMEDIES.get(kind)
    if kind == "json_invalid":
        where = f" at character {path[0]}" if path else ""
        return InvalidInput(f"The body is no valid JSON: {problem['ctx']['error']}{where}.", remedy=remedy)
    field = ".".join(str(part) for part in path)
    if not field:
        return InvalidInput("The body is missing or no JSON object.", remedy=_REMEDIES["dict_type"])
    if place == "header":
        field = "-".join(word.capitalize() for word in field.split("-"))
    message = str(problem["msg"]).removeprefix("Value error, ").rstrip(".")
    return InvalidInput(f"{field}: {message}.", field=field, remedy=remedy)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what the handler is registered for
    method, path = request.method, request.url.path
    match error.status_code:
        case 404:
            known: CarinaError = NotFound(f"There is no {path} here.", remedy="See /docs for what there is.")
        case 405:
            allowed = (error.headers or {}).get("Allow", "another method")
            known = MethodNotAllowed(f"{path} does not take {method}.", remedy=f"Use {allowed}; see /docs.")
        case status:
            fallback = InvalidInput if _HTTP_BAD_REQUEST <= status < _HTTP_SERVER_ERROR else CarinaError
            known = _FORESEEN.get(status, fallback)(error.detail)
    return error_response([known], request.scope, status=error.status_code, headers=error.headers)


async def _on_database_error(request: Request, error: Exception) -> Response:
    _log.error("http.database_unavailable", exc_info=error)
    return error_response([Unavailable("The database does not answer.")], request.scope)
