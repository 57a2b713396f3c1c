"""A pod's standard input and output, by the API's attach: lines go in, lines come out. Blocks.

The pod's first process itself is spoken to, so nothing has to be started for that, as exec would; and it can be spoken
to as soon as it runs, a second before the API's own word that it does (kubelets look once a second).

The channels are those of the WebSocket subprotocol v4.channel.k8s.io, see
https://pkg.go.dev/k8s.io/apimachinery/pkg/util/remotecommand.
"""

import json
import socket
import ssl
import time
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

import websocket

from drivers.kubernetes_client import CONNECT_TIMEOUT_S, Api
from drivers.tls import netloc

_PROTOCOL = "v4.channel.k8s.io"
_STDIN, _STDOUT, _ERROR = 0, 1, 3


class NotAttached(Exception):  # noqa: N818 - it says what is so
    """The pod's process can't be spoken to: it does not run, not yet or no longer, or its node does not answer."""


class Attachment:
    """A conversation with a pod's process. Its calls raise `NotAttached`, and `TimeoutError` after the deadline."""

    def __init__(self, api: Api, path: str, deadline: float) -> None:
        """Attach to the pod at `path`. `deadline` is in the time of `time.monotonic`."""
        self._deadline = deadline
        self._rest = b""
        query = urlencode({"stdin": "true", "stdout": "true", "container": "probe"})
        url = f"wss://{netloc(api.host, api.port)}{path}/attach?{query}"
        stream = self._connected(api)
        try:
            self._socket = websocket.create_connection(
                url, socket=stream, subprotocols=[_PROTOCOL], timeout=self._left_s(), suppress_origin=True
            )
        except websocket.WebSocketException as error:
            stream.close()
            raise NotAttached(str(error)) from None
        except BaseException:
            stream.close()
            raise

    def send(self, line: str) -> None:
        """Write a line to the process."""
        self._socket.settimeout(self._left_s())
        try:
            self._socket.send_binary(bytes([_STDIN]) + line.encode() + b"\n")
        except (websocket.WebSocketException, ConnectionError) as error:
            raise NotAttached(str(error)) from None

    def line(self) -> str:
        """Return the next line that the process writes."""
        while b"\n" not in self._rest:
            self._socket.settimeout(self._left_s())
            try:
                content = self._socket.recv()
            except websocket.WebSocketTimeoutException:
                raise TimeoutError from None
            except (websocket.WebSocketException, ConnectionError) as error:
                raise NotAttached(str(error)) from None
            frame = content.encode() if isinstance(content, str) else content
            if not frame:
                raise NotAttached("the connection was closed")
            if frame[0] == _ERROR:
                raise NotAttached(_message(frame[1:]))
            if frame[0] == _STDOUT:
                self._rest += frame[1:]
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace")

    def close(self) -> None:
        """Let go of the connection; the process goes on."""
        self._socket.close(timeout=0)

    def _connected(self, api: Api) -> ssl.SSLSocket:
        with socket.create_connection((api.host, api.port), timeout=CONNECT_TIMEOUT_S) as plain:
            return api.context.wrap_socket(plain, server_hostname=api.host)

    def _left_s(self) -> float:
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return left_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _message(status: bytes) -> str:
    try:
        return str(json.loads(status).get("message", ""))
    except (ValueError, AttributeError):
        return status.decode(errors="replace")
