"""Long uploads to Docker Engines: over TLS, in big pieces, with an ear for what the engine says before the end."""

from ssl import SSLEOFError
from typing import Any

from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool

from drivers.docker_client import NodeAdapter

_PIECE_BYTES = 256 * 1024


class UploadAdapter(NodeAdapter):
    """Sends long bodies. An engine may be busy with its disk for long, on one piece as on a whole layer."""

    timeout_s = (30.0, 300.0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Use connections that are made for this."""
        super().init_poolmanager(*args, blocksize=_PIECE_BYTES, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"https": _Pool}


class _Connection(HTTPSConnection):
    """Hears an answer that comes before the whole body was sent.

    An engine that refuses a body answers and closes. urllib3 then reads the answer if it is told of a broken pipe,
    but over TLS the same thing has another name.
    """

    def send(self, data: Any) -> None:
        try:
            super().send(data)
        except SSLEOFError as error:
            raise BrokenPipeError from error


class _Pool(HTTPSConnectionPool):
    ConnectionCls = _Connection
