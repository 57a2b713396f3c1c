"""One kept-alive HTTP connection to the service: the token, the errors as `CliError`s, and lists page after page."""

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from carina_cli import __version__
from carina_cli.config import read_token
from carina_cli.errors import ApiError, CliError, TokenMissing, Unreachable
from carina_cli.quick_httpx import httpx

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 10.0


class Connection:
    """A connection to the service at `endpoint`. The token is read when the first call needs it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        # Reading the system's certificates takes 50 ms, for nothing when the endpoint is plain HTTP.
        # Proxies of the environment are for the wide world: one on this machine is asked directly.
        host = httpx.URL(endpoint).host
        self._http = httpx.Client(
            base_url=endpoint,
            verify=endpoint.startswith("https:"),
            trust_env=host not in {"127.0.0.1", "::1", "localhost"},
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            headers={
                "API-Version": "rax:container 1.0",
                "Accept": "application/json",
                "User-Agent": f"carina-cli/{__version__}",
            },
        )
        self._token: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def items(self, path: str, field: str, params: Mapping[str, str]) -> list[Any]:
        """Return all items of a list, page after page."""
        response = self.send("GET", path, params=params)
        found: list[Any] = []
        while True:
            document = document_of(response)
            if not isinstance(document.get(field), list):
                raise error_of(response)
            found += document[field]
            following = next((link["href"] for link in document.get("links", ()) if link.get("rel") == "next"), None)
            # A path only: the token must not follow a link to another place.
            if following is None or not following.startswith("/") or following.startswith("//"):
                return found
            response = self.send("GET", following)

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        tries: int = 1,
        patience_s: float = ANSWER_TIMEOUT_S,
    ) -> httpx.Response:
        """Send a request with the token; raise `ApiError` if the answer is an error, `Unreachable` without one.

        `body` becomes JSON. A request that may safely be repeated is sent up to `tries` times, when the connection
        breaks before its answer. `patience_s` bounds the wait for the answer.
        """
        prepared = {
            "headers": {**self._authority(), **(headers or {})},
            "params": params,
            "json": body,
            "timeout": httpx.Timeout(patience_s, connect=CONNECT_TIMEOUT_S),
        }
        while True:
            tries -= 1
            try:
                return _good(self.request(method, path, **prepared))
            except ConnectionBroken:
                if tries < 1:
                    raise

    def upload(self, path: str, chunks: Iterable[bytes], *, kind: str, patience_s: float) -> httpx.Response:
        """POST what `chunks` yields, of that content type, as it comes; `patience_s` bounds each wait for the service.

        Raises as `send` does.
        """
        headers = {**self._authority(), "Content-Type": kind}
        timeout = httpx.Timeout(patience_s, connect=CONNECT_TIMEOUT_S)
        return _good(self.request("POST", path, headers=headers, content=chunks, timeout=timeout))

    def request(self, method: str, path: str, **parts: Any) -> httpx.Response:
        """Send a request, of httpx's `parts`, and return whatever answer comes; raise `Unreachable` if none does."""
        try:
            # params=None keeps the query that the path has; an empty mapping would take it off.
            return self._http.request(method, path, **{**parts, "params": parts.get("params") or None})
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unreachable(
                f"No service answers at {self.endpoint}.",
                str(error),
                "Start it with 'carinad up', or name another with --endpoint or CARINA_ENDPOINT.",
            ) from error
        except httpx.TransportError as error:
            raise ConnectionBroken(
                f"The service at {self.endpoint} did not answer {method} {path.partition('?')[0]}.",
                str(error) or type(error).__name__,
                "'carina status' says whether it is well; what it had accepted goes on after a restart.",
            ) from error

    def _authority(self) -> Mapping[str, str]:
        """Return the header with the token. That no service is there is greater news than that there is no token."""
        if self._token is None:
            try:
                self._token = read_token()
            except TokenMissing:
                self.request("GET", "/healthz")
                raise
        return {"X-Auth-Token": self._token}


class ConnectionBroken(Unreachable):
    """The connection was there, and broke before the answer."""


def part(text: str) -> str:
    """Return `text` as one part of a path."""
    return quote(text, safe="")


def operation_of(response: httpx.Response) -> str | None:
    """Return the id of the operation that the Location header names."""
    location = response.headers.get("Location")
    return str(location).rstrip("/").rpartition("/")[2] if location else None


def document_of(response: httpx.Response) -> dict[str, Any]:
    """Return the answer's JSON object."""
    try:
        document = response.json()
    except ValueError as error:
        raise error_of(response) from error
    if not isinstance(document, dict):
        raise error_of(response)
    return document


def error_of(response: httpx.Response) -> CliError:
    """Return the error that an answer carries; an answer that isn't the API's own is an error too."""
    try:
        problem = response.json()["errors"][0]
        problem.setdefault("request_id", response.headers.get("X-Request-Id", ""))
        return ApiError(response.status_code, problem)
    except (ValueError, LookupError, TypeError, AttributeError):
        return CliError(
            "The answer is not one of a Carina service.",
            f"HTTP status {response.status_code} from {response.url}",
            "Check --endpoint or CARINA_ENDPOINT, and what stands between here and there.",
        )


def _good(response: httpx.Response) -> httpx.Response:
    """Return the answer, or raise the error that it is."""
    if not response.is_success:
        raise error_of(response)
    return response
