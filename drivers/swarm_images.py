"""Container images into the engines of a swarm's nodes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from domain.errors import ImageLoadFailed
from domain.nodes import Member
from drivers import image_archives
from drivers.docker_client import API_VERSION, Engines, redacted
from drivers.docker_upload import UploadAdapter


def load(engines: Engines, node: Member, archive: Path) -> None:
    """Stream an archive (docker-archive or OCI layout, a tar) into a node's engine.

    Images that are there already are no error. Raises `ImageLoadFailed` with what the engine says of the archive.
    Docker Engine API, POST /images/load: it answers 200 and says in its stream of messages whether it went well.
    """
    contents = image_archives.read(archive)
    engine = engines.at(node)
    architecture = engine.version()["Arch"]  # asked with the short patience of all questions: a dead node shows here
    supplement = image_archives.docker_supplement(contents, architecture)
    url = f"{engine.base_url}/v{API_VERSION}/images/load"
    engine.mount(url, UploadAdapter(engines.context))
    with (
        _Body(archive, contents.end, supplement) as body,
        engine.post(url, data=body, headers={"Content-Type": "application/x-tar"}, stream=True) as answer,
    ):
        for line in answer.iter_lines():
            message = json.loads(line)
            refusal = message.get("error") or message.get("message")
            if refusal:
                raise ImageLoadFailed(f"Docker on {node.name} says: {redacted(str(refusal))}")


class _Body:
    """An archive as it is sent: as it is, or up to its last member, and then a supplement. For `requests`."""

    def __init__(self, archive: Path, end: int, supplement: bytes) -> None:
        self._file = archive.open("rb")
        self._left = end if supplement else archive.stat().st_size
        self._supplement = supplement
        self._size = self._left + len(supplement)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        """Say, by being there, that this is a stream; `read` is what is used."""
        while piece := self.read(64 * 1024):
            yield piece

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, or less."""
        piece = self._file.read(min(size, self._left))
        self._left -= len(piece)
        if not piece:
            piece, self._supplement = self._supplement[:size], self._supplement[size:]
        return piece

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
