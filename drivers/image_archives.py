"""What is in an archive of container images, and what it lacks for an engine to take it.

Only an archive's few small parts are read. Two formats are known: Docker's (Docker Image Specification v1.2:
manifest.json) and the OCI Image Layout 1.0 (index.json). `docker save` writes both into one archive since Docker 25.
"""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.errors import ImageLoadFailed

_BLOCK = 512
_SMALL_BYTES = 4 * 1024 * 1024
"""What registries take for a manifest at most; a bigger one is none."""
_NAME = "io.containerd.image.name"
_REF = "org.opencontainers.image.ref.name"
_DEPTH = 4
"""An index may name an index: so many levels are followed."""
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class NamedManifest:
    """An entry of an OCI layout's index: a manifest, or an index of manifests by platform."""

    descriptor: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name that containerd gives it: the whole one if there is one, else what stands in the layout's own."""
        annotations = self.descriptor.get("annotations") or {}
        return str(annotations.get(_NAME) or annotations.get(_REF) or "")

    @property
    def is_named(self) -> bool:
        """Whether that is the name of an image, and not just a tag, as it may be in an OCI layout."""
        return any(mark in self.name for mark in "/:@")


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive's own description of what is in it.

    `docker` is the content of manifest.json, None if there is none; `oci` the entries of index.json. `end` is where
    the tar's last member ends. `blobs` says where, and how long, the small ones are.
    """

    path: Path
    docker: Sequence[Mapping[str, Any]] | None
    oci: Sequence[NamedManifest] | None
    end: int
    blobs: Mapping[str, tuple[int, int]]

    def blob(self, digest: str) -> Mapping[str, Any] | None:
        """Return a small blob of the layout, which is JSON; None if it is not in the archive."""
        algorithm, _, value = digest.partition(":")
        place = self.blobs.get(f"blobs/{algorithm}/{value}")
        if place is None:
            return None
        with self.path.open("rb") as file:
            file.seek(place[0])
            return _mapping(file.read(place[1]))


def read(path: Path) -> Archive:
    """Read what an archive says of itself; raise `ImageLoadFailed` if it is no archive of images, or is cut."""
    found: dict[str, bytes] = {}
    blobs = {}
    end = 0
    try:
        _check_start(path)
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                end = member.offset_data + -(-member.size // _BLOCK) * _BLOCK
                if not member.isreg() or member.size > _SMALL_BYTES:
                    continue
                if name in {"manifest.json", "index.json", "oci-layout"}:
                    content = tar.extractfile(member)
                    found[name] = content.read() if content else b""
                elif name.startswith("blobs/"):
                    blobs[name] = (member.offset_data, member.size)
        if path.stat().st_size < end:
            raise tarfile.ReadError("unexpected end of data")
    except tarfile.TarError as error:
        raise ImageLoadFailed(f"The archive is no whole tar: {error}.") from None
    if "manifest.json" not in found and not found.keys() >= {"index.json", "oci-layout"}:
        raise ImageLoadFailed("The archive has neither a manifest.json, as Docker's have, nor an OCI layout.")
    try:
        docker = _mappings(json.loads(found["manifest.json"])) if "manifest.json" in found else None
        oci = None
        if found.keys() >= {"index.json", "oci-layout"}:
            oci = [NamedManifest(entry) for entry in _mappings(_mapping(found["index.json"]).get("manifests"))]
    except ValueError as error:
        raise ImageLoadFailed(f"The archive's list of images can't be read: {error}.") from None
    return Archive(path, docker, oci, end, blobs)


def renames(archive: Archive) -> dict[str, str]:
    """Return the names that containerd takes from an OCI layout as they are, by what a node's kubelet looks for.

    Raises `ImageLoadFailed` for images without a name: no pod could ever use them.
    """
    if archive.oci is None:
        if not any(entry.get("RepoTags") for entry in archive.docker or []):
            raise ImageLoadFailed("The archive's image has no name. Save it by name ('docker save web:1'), not by id.")
        return {}  # containerd completes the names of Docker's archives itself
    _check_named(archive.oci)
    names = [entry.name for entry in archive.oci]
    return {name: whole for name in names if (whole := whole_name(name)) != name}


def whole_name(name: str) -> str:
    """Return an image's name with its registry and tag, as `web` is `docker.io/library/web:latest`.

    Source: github.com/distribution/reference, familiar names.
    """
    first, slash, rest = name.partition("/")
    if not slash or not (set(first) & set(".:") or first == "localhost"):
        first, rest = "docker.io", name
    elif first == "index.docker.io":
        first = "docker.io"
    if first == "docker.io" and "/" not in rest.partition("@")[0]:
        rest = f"library/{rest}"
    has_tag = "@" in rest or ":" in rest.rpartition("/")[2]
    return f"{first}/{rest}" if has_tag else f"{first}/{rest}:latest"


def docker_supplement(archive: Archive, architecture: str) -> bytes:
    """Return what to append at `archive.end` so that a Docker Engine takes the archive; nothing if it does already.

    Docker 26 knows OCI layouts only by the manifest.json that `docker save` adds to them, but takes any blob that
    such a manifest names. Of an image for several platforms, the one for linux on `architecture` is named.
    """
    if archive.docker is not None or archive.oci is None:
        return b""
    _check_named(archive.oci)
    content = json.dumps([_docker_entry(archive, entry, architecture) for entry in archive.oci]).encode()
    header = tarfile.TarInfo("manifest.json")
    header.size = len(content)
    tail = io.BytesIO()
    with tarfile.open(fileobj=tail, mode="w") as tar:
        tar.addfile(header, io.BytesIO(content))
    return tail.getvalue()


def _docker_entry(archive: Archive, entry: NamedManifest, architecture: str) -> dict[str, Any]:
    manifest = _manifest(archive, entry.descriptor, architecture, _DEPTH)
    if manifest is None:
        raise ImageLoadFailed(f"The archive has no image {entry.name} for linux/{architecture}.")
    try:
        blobs = [str(part["digest"]).replace(":", "/", 1) for part in (manifest["config"], *manifest["layers"])]
    except (KeyError, TypeError):
        raise ImageLoadFailed(f"The archive's manifest of {entry.name} is none of an image.") from None
    config, *layers = (f"blobs/{blob}" for blob in blobs)
    return {"Config": config, "RepoTags": [whole_name(entry.name)], "Layers": layers}


def _manifest(
    archive: Archive, descriptor: Mapping[str, Any], architecture: str, depth: int
) -> Mapping[str, Any] | None:
    """Return the manifest that a descriptor leads to; None if that is for another platform or not in the archive."""
    platform = descriptor.get("platform") or {}
    if depth == 0 or (platform and (platform.get("os"), platform.get("architecture")) != ("linux", architecture)):
        return None
    found = archive.blob(str(descriptor.get("digest")))
    if found is None or "manifests" not in found:
        return found
    inner = (_manifest(archive, entry, architecture, depth - 1) for entry in found["manifests"])
    return next((manifest for manifest in inner if manifest is not None), None)


def _check_named(entries: Sequence[NamedManifest]) -> None:
    for entry in entries:
        if not entry.is_named:
            called = f"only a tag, {entry.name!r}" if entry.name else "no name"
            raise ImageLoadFailed(
                f"An image of the archive has {called}. Give it a whole name when the archive is written, "
                "as in 'skopeo copy ... oci-archive:web.tar:docker.io/library/web:1'."
            )
    if not entries:
        raise ImageLoadFailed("The archive's index names no image.")


def _check_start(path: Path) -> None:
    """Raise `ImageLoadFailed` for an empty file, and for a compressed one, which each node would have to unpack."""
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise ImageLoadFailed("The archive is empty.")
    if start.startswith((_GZIP, _ZSTD)):
        raise ImageLoadFailed(
            "The archive is compressed. Unpack it first: 'gunzip web.tar.gz', or 'unzstd web.tar.zst'."
        )


def _mapping(content: bytes) -> Mapping[str, Any]:
    value = json.loads(content)
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - for callers it is as unreadable as no JSON
    return value


def _mappings(value: object) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ValueError("it is no list of JSON objects")
    return value
