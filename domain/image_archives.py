"""What is in an archive of container images: whether it is one, whether it is whole, and what its images are called.

Two layouts are known: that of `docker save` (docker-archive: github.com/moby/docker-image-spec) and the OCI image
layout as a tar (github.com/opencontainers/image-spec, image-layout.md). Only headers and small JSON files are read.
"""

import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from domain.errors import InvalidInput

_MAX_ENTRIES = 20_000
_MAX_JSON_BYTES = 4 * 1024 * 1024
_MAX_READ_BYTES = 64 * 1024 * 1024
"""What is read of an archive in all: headers of so many entries, and their JSON, take less."""
_MAX_NAMES = 1000
_COMPRESSIONS = {b"\x1f\x8b": "gunzip", b"\x28\xb5\x2f\xfd": "unzstd", b"\xfd7zXZ": "unxz", b"BZh": "bunzip2"}
_LONGEST_MAGIC = max(len(magic) for magic in _COMPRESSIONS)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,511}")
_DIGEST = re.compile(r"([a-z0-9+._-]+):([A-Za-z0-9]+)")
_FULL_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"


def image_names(file: BinaryIO) -> tuple[str, ...]:
    """Return the names of the images in an archive, in order; images may have none.

    `file` is open at its beginning and can be sought. Raises `InvalidInput` where it is no whole archive of images.
    """
    _check_uncompressed(file)
    try:
        with tarfile.open(fileobj=_Bounded(file), mode="r:") as archive:  # type: ignore[call-overload]
            content = _Content(archive)
            if "manifest.json" in content.members:
                names = sorted(set(_docker_names(content)))
            elif "oci-layout" in content.members and "index.json" in content.members:
                names = sorted(set(_oci_names(content)))
            else:
                raise _none("It has neither a manifest.json nor an oci-layout with an index.json")
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        raise _none(f"It is no whole tar ({error})") from error
    if len(names) > _MAX_NAMES:
        raise _none(f"It has {len(names)} names, more than {_MAX_NAMES}")
    return tuple(names)


class _Bounded:
    """A file of which no read is large, and all together aren't: a header may claim anything."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = _MAX_READ_BYTES

    def read(self, size: int = -1) -> bytes:
        """Read `size` bytes; raise `tarfile.ReadError` where that is too much."""
        if not 0 <= size <= min(_MAX_JSON_BYTES + tarfile.RECORDSIZE, self._left):
            raise tarfile.ReadError("its headers are too large")
        self._left -= size
        return self._file.read(size)

    def seek(self, offset: int) -> int:
        """Go to `offset` from the beginning."""
        return self._file.seek(offset)

    def tell(self) -> int:
        """Return where the file is."""
        return self._file.tell()


class _Content:
    """The entries of an archive by name, and its JSON files."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self.members: dict[str, tarfile.TarInfo] = {}
        for count, member in enumerate(archive, 1):
            if count > _MAX_ENTRIES:
                raise _none(f"It has more than {_MAX_ENTRIES} entries")
            self.members[member.name.removeprefix("./")] = member

    def json(self, name: str) -> Any:
        """Return what is in a JSON file of the archive."""
        member = self.members[name]
        if not member.isfile() or member.size > _MAX_JSON_BYTES:
            raise _none(f"Its {name} is no file of at most {_MAX_JSON_BYTES} bytes")
        opened = self._archive.extractfile(member)
        assert opened is not None  # noqa: S101 - that of a file never is
        try:
            return json.loads(opened.read())
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise _none(f"Its {name} is no JSON") from error

    def require(self, name: object, whose: str) -> None:
        """Raise `InvalidInput` unless there is an entry of that name."""
        if not isinstance(name, str) or name.removeprefix("./") not in self.members:
            raise _none(f"{whose} names {str(name)[:200]!r}, which is not in it")


def _docker_names(content: _Content) -> Iterator[str]:
    manifests = content.json("manifest.json")
    for manifest in _mappings(manifests, "manifest.json"):
        content.require(manifest.get("Config"), "Its manifest.json")
        for layer in _list(manifest.get("Layers"), "manifest.json"):
            content.require(layer, "Its manifest.json")
        yield from (_checked(name) for name in _list(manifest.get("RepoTags"), "manifest.json"))


def _oci_names(content: _Content) -> Iterator[str]:
    index = content.json("index.json")
    if not isinstance(index, Mapping):
        raise _none("Its index.json is no object")
    for manifest in _mappings(index.get("manifests"), "index.json"):
        found = _DIGEST.fullmatch(str(manifest.get("digest")))
        if found is None:
            raise _none("Its index.json has a manifest without a digest")
        content.require(f"blobs/{found[1]}/{found[2]}", "Its index.json")
        annotations = manifest.get("annotations") or {}
        if not isinstance(annotations, Mapping):
            raise _none("Its index.json has annotations that are no object")
        name = annotations.get(_FULL_NAME) or annotations.get(_REF_NAME)
        if name:
            yield _checked(name)


def _mappings(value: object, where: str) -> Sequence[Mapping[str, Any]]:
    items = _list(value, where)
    if not items or not all(isinstance(item, Mapping) for item in items):
        raise _none(f"Its {where} lists no images")
    return items


def _list(value: object, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _none(f"Its {where} has something else where a list belongs")
    return value


def _checked(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _none(f"It calls an image {str(name)[:200]!r}, which can't name one")
    return name


def _check_uncompressed(file: BinaryIO) -> None:
    begin = file.read(_LONGEST_MAGIC)
    file.seek(0)
    if not begin:
        raise InvalidInput("The body is empty.", field="body", remedy="Send an archive, as 'docker save' makes it.")
    for magic, tool in _COMPRESSIONS.items():
        if begin.startswith(magic):
            raise InvalidInput(
                "The archive is compressed as a whole.",
                field="body",
                remedy=f"Decompress it first ('{tool}'), and send what comes out.",
            )


def _none(why: str) -> InvalidInput:
    return InvalidInput(
        f"This is no archive of container images. {why}.",
        field="body",
        remedy="Send what 'docker save', 'podman save' or 'skopeo copy ... oci-archive:' makes.",
    )
