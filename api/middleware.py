"""What every request passes: an id and a log line, HEAD, the token and the API version, and a bound on the body."""

import re
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import error_response, internal_error
from api.ports import Tokens
from domain.errors import BodyTooLarge, CarinaError, Unauthorized, UnsupportedVersion

MAX_BODY_BYTES = 64 * 1024
MAX_UPLOAD_BYTES = 20 * 1024**3
_UPLOADS = re.compile(r"/clusters/[^/]+/images")
"""The only paths whose POST takes more than a small body: it goes to the disk as it comes."""
OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/docs", "/openapi.json"})
"""Paths that anyone may read, without a token; so are the documentation's parts under /docs/."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_VERSION = re.compile(r"\s*rax:container\s+1\.0\s*", re.IGNORECASE)
_PROBES = frozenset({"/healthz", "/readyz"})
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class RequestContext:
    """Gives each request an id, on the response and on every log line, and answers for what nobody foresaw.

    A client's own X-Request-Id is kept if it is short and plain, so that it can't forge log lines.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI 3)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        offered = Headers(scope=scope).get("x-request-id", "")
        request_id = offered if _REQUEST_ID.fullmatch(offered) else str(uuid.uuid4())
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        began = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_named)
            except Exception:
                _log.exception("http.failed", method=scope["method"], path=scope["path"])
                if status:  # half an answer is out: only breaking the connection tells the client
                    raise
                await internal_error(scope)(scope, receive, send_named)
            took_ms = round((time.perf_counter() - began) * 1000, 1)
            log = _log.debug if scope["path"] in _PROBES else _log.info
            log("http.request", method=scope["method"], path=scope["path"], status=status, took_ms=took_ms)


class HeadAsGet:
    """Answers HEAD as GET without the body (RFC 9110, 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI 3)."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, send_head)


class Gate:
    """Lets through what carries a valid token and asks for a version that is served; nothing is read before that."""

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI 3)."""
        if scope["type"] == "http" and not _is_open(scope["path"]):
            headers = Headers(scope=scope)
            try:
                scope["state"]["tenant_id"] = self._owner(headers)
                _check_version(headers)
            except CarinaError as error:
                await error_response([error], scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _owner(self, headers: Headers) -> str:
        token = headers.get("x-auth-token")
        if token is None:
            raise Unauthorized("The request has no X-Auth-Token.")
        owner = self._tokens.owner(token)
        if owner is None:
            raise Unauthorized("The X-Auth-Token is not valid.")
        return owner


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith("/docs/")


def _check_version(headers: Headers) -> None:
    wanted = headers.get("api-version")
    if wanted is not None and not _VERSION.fullmatch(wanted):
        raise UnsupportedVersion(f"{wanted[:100]!r} is no version that is served.", field="API-Version")


class BodyLimit:
    """Refuses bodies above a limit, told by Content-Length or counted as they come. Uploads have one of their own."""

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES, max_upload_bytes: int = MAX_UPLOAD_BYTES) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI 3)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._max_upload_bytes if _is_upload(scope) else self._max_bytes
        detail = f"A body may have {limit} bytes here."
        length = Headers(scope=scope).get("content-length", "")
        if length.isdigit() and int(length) > limit:
            await error_response([BodyTooLarge(detail)], scope, headers={"Connection": "close"})(scope, receive, send)
            return
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(BodyTooLarge.status, detail, {"Connection": "close"})
            return message

        await self._app(scope, receive_counted, send)


def _is_upload(scope: Scope) -> bool:
    return scope["method"] == "POST" and _UPLOADS.fullmatch(scope["path"]) is not None
