"""Ports of loopback that lead to nodes, as those of hosts do that publish; and a witness of who connects where."""

import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from domain.nodes import Member

_THREAD = "forwarder"
_watching: list[set[tuple[str, int]]] = []


@contextmanager
def published(members: Sequence[Member], port: int) -> Iterator[list[Member]]:
    """Yield the members as they are on a host that publishes the port of their native API."""
    with ExitStack() as stack:
        yield [
            replace(member, public=("127.0.0.1", stack.enter_context(_forwarded(member.address, port))))
            for member in members
        ]


@contextmanager
def connections() -> Iterator[set[tuple[str, int]]]:
    """Yield a set that fills with the addresses and ports that this process connects to, forwarders left out."""
    seen: set[tuple[str, int]] = set()
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching.remove(seen)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _watching and not threading.current_thread().name.startswith(_THREAD):
        address = arguments[1]
        if isinstance(address, tuple):
            for seen in _watching:
                seen.add((str(address[0]), int(address[1])))


sys.addaudithook(_audit)


@contextmanager
def _forwarded(address: str, port: int) -> Iterator[int]:
    """Forward a port of loopback, which is yielded, to another until the block ends."""
    streams: list[socket.socket] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:  # the block has ended
                return
            streams.append(near)
            try:
                far = socket.create_connection((address, port), timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            streams.append(far)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, sink), name=_THREAD, daemon=True).start()

    thread = threading.Thread(target=accept, name=_THREAD)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()
        for stream in streams:
            stream.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:  # either end has gone
        for stream in (source, sink):
            stream.close()
