"""TLS connections to the Docker Engines of nodes, and how their errors become the catalogue's.

`docker` takes certificates from files only, so it is handed a ready TLS context through its HTTP session.
"""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from docker import APIClient
from docker.errors import APIError, DockerException
from requests import PreparedRequest, RequestException, Response
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from domain.errors import DockerSilent, StepFailed
from domain.nodes import Member
from domain.secrets import Access
from drivers.tls import netloc, tls_context

DOCKER_PORT = 2376
API_VERSION = "1.44"
"""Docker 25 and later speak it; naming it saves the question for each connection."""
CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 30.0
"""Docker itself gives up on the longest call used here, joining a swarm, after 20 s."""
_JOIN_TOKEN = re.compile(r"SWMTKN-[A-Za-z0-9-]+")


class Engines:
    """Connections to the engines of one cluster's nodes, kept for one task and closed at its end."""

    def __init__(self, access: Access) -> None:
        self.context = tls_context(access)
        self._clients: dict[tuple[str, int], APIClient] = {}

    def at(self, member: Member) -> APIClient:
        """Return the client for a node's engine. It connects when it is first used."""
        place = member.api(DOCKER_PORT)
        if place not in self._clients:
            client = APIClient(base_url=f"https://{netloc(*place)}", version=API_VERSION)
            client.trust_env = False  # nodes are never behind the proxy that this process may be told to use
            client.mount("https://", NodeAdapter(self.context))
            self._clients[place] = client
        return self._clients[place]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients.values():
            client.close()


class NodeAdapter(HTTPAdapter):
    """Speaks HTTPS with a ready TLS context, and never without a bound on time."""

    timeout_s = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Use the context for all connections."""
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Add nothing to the context: the default would trust every public authority, too."""

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """Send, and wait for the answer as long as `timeout_s` (for a connection and each write; for each read)."""
        kwargs["timeout"] = self.timeout_s
        return super().send(request, *args, **kwargs)


@contextmanager
def docker_errors(failure: type[StepFailed], doing: str) -> Iterator[None]:
    """Turn what Docker refuses into `failure`, and a Docker that does not answer into `DockerSilent`.

    `doing` says what is being done, as in "Docker on 10.64.0.10 refused to form the swarm". The cause is cut off
    on purpose: Docker repeats join tokens in its messages.
    """
    try:
        yield
    except APIError as error:
        where = _host(error.response.url if error.response is not None else None)
        raise failure(f"Docker on {where} refused to {doing}: {redacted(str(error.explanation or error))}") from None
    except (RequestException, HTTPError, DockerException, OSError) as error:
        request = error.request if isinstance(error, RequestException) else None
        where = _host(request.url if request is not None else None)
        raise DockerSilent(
            f"Docker on {where} did not answer when asked to {doing}: {redacted(_innermost(error))}"
        ) from None


def redacted(text: str) -> str:
    """Return `text` without join tokens."""
    return _JOIN_TOKEN.sub("SWMTKN-(removed)", text)


def _host(url: str | bytes | None) -> str:
    return urlsplit(str(url)).netloc.removesuffix(f":{DOCKER_PORT}") if url else "a node"


def _innermost(error: BaseException) -> str:
    """Return the reason inside an exception that requests and urllib3 wrapped several times."""
    reason = getattr(error, "reason", None) or (error.args[0] if error.args else None)
    while isinstance(reason, BaseException):
        error = reason
        reason = getattr(error, "reason", None) or (error.args[0] if error.args else None)
    return str(error)
