"""Conversations with a cluster's Kubernetes API, and how their errors become the catalogue's. Blocks.

Objects are what the API speaks: JSON. The official client makes classes of them, all of which it loads: measured, that
costs a process 100 MB and more than a second, for the few calls made here.

https://kubernetes.io/docs/reference/using-api/api-concepts/ describes lists, watches and patches.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from urllib3 import BaseHTTPResponse, HTTPSConnectionPool, Timeout
from urllib3.exceptions import HTTPError

from domain.errors import StepFailed
from domain.nodes import Member
from domain.secrets import Access
from drivers.tls import tls_context

API_PORT = 6443
CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 30.0
NOT_FOUND = 404
CONFLICT = 409
_POLL_S = 0.02
_CONNECTIONS = 32
_REFUSED = 400
_OK = 200
_GONE = 410
_MARGIN_S = 5.0
_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_MAX_REASON_CHARS = 500

Object = Mapping[str, Any]
"""An object as the API describes it."""
Objects = Mapping[tuple[str, str], Object]
"""Objects of one kind, by namespace and name."""


class Refused(Exception):  # noqa: N818 - it says what the API did
    """The API answered, but did not do what was asked. `status` is that of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """Connections to one cluster's API, kept for one task and closed at its end. Threads may share it.

    Its calls raise `Refused`, and errors of urllib3 where the API does not answer.
    """

    def __init__(self, manager: Member, access: Access) -> None:
        self.host, self.port = manager.api(API_PORT)
        self.context = tls_context(access)
        self._pool = HTTPSConnectionPool(
            self.host,
            self.port,
            ssl_context=self.context,
            maxsize=_CONNECTIONS,
            timeout=Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
            retries=False,
        )

    def get(self, path: str, **query: str) -> Object:
        """Return one object, or a list with all its items."""
        return self._call("GET", path, query=query)

    def find(self, path: str) -> Object | None:
        """Return one object, or None if it is not there."""
        try:
            return self.get(path)
        except Refused as error:
            if error.status != NOT_FOUND:
                raise
            return None

    def items(self, path: str, **query: str) -> Sequence[Object]:
        """Return the objects of a list."""
        found: Sequence[Object] = self.get(path, **query)["items"]
        return found

    def create(self, path: str, body: Object) -> Object:
        """Make an object in the list at `path`."""
        return self._call("POST", path, body=body)

    def ensure(self, path: str, body: Object) -> None:
        """Make an object in the list at `path` unless one of its name is there."""
        try:
            self.create(path, body)
        except Refused as error:
            if error.status != CONFLICT:
                raise

    def patch(self, path: str, body: Object) -> Object:
        """Merge `body` into the object at `path` (RFC 7396)."""
        return self._call("PATCH", path, body=body, content_type=_MERGE)

    def apply(self, path: str, body: Object) -> Object:
        """Make the object at `path` as described in `body`, be it there or not (server-side apply)."""
        named = {**body, "metadata": {**body.get("metadata", {}), "name": path.rpartition("/")[2]}}
        return self._call(
            "PATCH", path, query={"fieldManager": "carina", "force": "true"}, body=named, content_type=_APPLY
        )

    def delete(self, path: str, **query: str) -> None:
        """Delete the object at `path`, which may take a while longer. None there is no error."""
        try:
            self._call("DELETE", path, query=query)
        except Refused as error:
            if error.status != NOT_FOUND:
                raise

    def until(
        self, path: str, condition: Callable[[Objects], bool], timeout_s: float, **query: str
    ) -> tuple[bool, Objects]:
        """Watch the list at `path` until `condition` holds of it, or `timeout_s` has passed.

        Returns whether it came to hold in time, and the objects as they were then.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            listed = self.get(path, **query)
            objects = {_key(item): item for item in listed["items"]}
            if condition(objects):
                return True, objects
            for kind, item in self._events(path, listed["metadata"]["resourceVersion"], deadline, query):
                if kind == "DELETED":
                    objects.pop(_key(item), None)
                else:
                    objects[_key(item)] = item
                if condition(objects):
                    return True, objects
            if time.monotonic() >= deadline:
                return False, objects

    def await_ready(self, timeout_s: float) -> str:
        """Return "" once the API is ready, or, after `timeout_s`, what it said last. Nothing can tell but asking."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                answer = self._pool.request("GET", "/readyz")
                if answer.status == _OK:
                    return ""
                said = answer.data.decode(errors="replace")
            except HTTPError as error:
                said = innermost(error)
            if time.monotonic() > deadline:
                return said[-_MAX_REASON_CHARS:]
            time.sleep(_POLL_S)

    def _events(
        self, path: str, version: str, deadline: float, query: Mapping[str, str]
    ) -> Iterator[tuple[str, Object]]:
        """Yield changes until the deadline. Ends early where the server ends it, or has forgotten that version."""
        left_s = math.ceil(max(deadline - time.monotonic(), 0))
        if left_s == 0:
            return
        asked = {**query, "watch": "true", "resourceVersion": version, "timeoutSeconds": str(left_s)}
        timeout = Timeout(connect=CONNECT_TIMEOUT_S, read=left_s + _MARGIN_S)
        response = self._pool.request("GET", _url(path, asked), timeout=timeout, preload_content=False)
        try:
            if response.status == _GONE:
                return
            if response.status >= _REFUSED:
                raise _refusal(response)
            for line in _lines(response):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event["type"], event["object"]
        finally:
            response.close()

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = _JSON,
    ) -> Object:
        content = None if body is None else json.dumps(body).encode()
        headers = {"Accept": _JSON, "Content-Type": content_type}
        response = self._pool.request(method, _url(path, query or {}), body=content, headers=headers)
        if response.status >= _REFUSED:
            raise _refusal(response)
        answer: Object = json.loads(response.data)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.close()


@contextmanager
def kubernetes_errors(failure: type[StepFailed], doing: str, address: str) -> Iterator[None]:
    """Turn what the API refuses, and an API that does not answer, into `failure`. `doing` says what is being done.

    The cause is cut off: it holds the request.
    """
    try:
        yield
    except Refused as error:
        reason = str(error)[:_MAX_REASON_CHARS]
        raise failure(f"Kubernetes on {address} refused to {doing}: {reason}") from None
    except (HTTPError, OSError) as error:
        raise failure(f"Kubernetes on {address} did not answer when asked to {doing}: {innermost(error)}") from None


def innermost(error: BaseException) -> str:
    """Return the reason inside an exception that urllib3 wrapped."""
    reason = getattr(error, "reason", None)
    while isinstance(reason, BaseException):
        error = reason
        reason = getattr(error, "reason", None)
    return str(error)


def _key(item: Object) -> tuple[str, str]:
    metadata = item["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _url(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _lines(response: BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    for chunk in response.stream(amt=None, decode_content=True):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole


def _refusal(response: BaseHTTPResponse) -> Refused:
    try:
        message = str(json.loads(response.data)["message"])
    except (ValueError, KeyError, TypeError):
        message = response.data.decode(errors="replace")
    return Refused(response.status, message)
