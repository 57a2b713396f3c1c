"""Archives of container images for tests, made here of busybox: as `docker save` wrote them, and as OCI layouts.

Layers stand on the disk, not in memory, so that an archive may be big. Docker's format: Docker Image Specification
v1.2; the other: OCI Image Layout Specification 1.0.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

_CHUNK = 1024 * 1024
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_ZIPPED_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True)
class Layer:
    """A layer as a tar on the disk, maybe compressed. Digests are without "sha256:"."""

    path: Path
    digest: str
    diff_id: str  # the digest of the uncompressed tar

    @property
    def media_type(self) -> str:
        return _LAYER if self.digest == self.diff_id else _ZIPPED_LAYER

    @property
    def size(self) -> int:
        return self.path.stat().st_size


@dataclass(frozen=True)
class TestImage:
    """An image that an archive may have: what it is called, and what is in it."""

    __test__ = False  # no class of tests, whatever its name begins with

    names: tuple[str, ...]
    layers: tuple[Layer, ...]
    command: tuple[str, ...] = ("/bin/busybox", "sleep", "600")

    def config(self, architecture: str = "amd64") -> bytes:
        """The configuration, whose digest is the image's id."""
        diff_ids = [f"sha256:{layer.diff_id}" for layer in self.layers]
        return _json(
            {
                "architecture": architecture,
                "os": "linux",
                "config": {"Cmd": list(self.command), "Env": ["PATH=/bin"]},
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
                "history": [{"created_by": "a test"} for _ in diff_ids],
            }
        )


def busybox_image(directory: Path, *names: str, text: str = "hello", filler_bytes: int = 0) -> TestImage:
    """Make an image of two layers: busybox, and /www/index.html with `text`, and random bytes to make it big.

    Its command serves that page on port 80. The layers are written into `directory`.
    """
    binary = Path(shutil.which("busybox") or "/bin/busybox")
    base = _layer(directory / "base.tar", {"bin/busybox": binary}, links={"bin/sh": "busybox"})
    page, filler = directory / "page", directory / "filler"
    page.write_text(text)
    with filler.open("wb") as file:
        for _ in range(filler_bytes // _CHUNK):
            file.write(os.urandom(_CHUNK))
    name = hashlib.sha256(f"{text}{filler_bytes}".encode()).hexdigest()[:12]
    top = _layer(directory / f"top-{name}.tar", {"www/index.html": page, "www/filler": filler})
    filler.unlink()
    return TestImage(names, (base, top), ("/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/www"))


def docker_archive(path: Path, *images: TestImage) -> Path:
    """Write an archive as `docker save` did up to Docker 24: manifest.json, configurations, layers."""
    manifest = []
    with tarfile.open(path, "w") as tar:
        written: set[str] = set()
        for image in images:
            config = image.config()
            config_name = f"{_sha256(config)}.json"
            layer_names = [f"{layer.digest}/layer.tar" for layer in image.layers]
            for name, layer in zip(layer_names, image.layers, strict=True):
                if name not in written:
                    tar.add(layer.path, name)
                    written.add(name)
            if config_name not in written:
                _add(tar, config_name, config)
                written.add(config_name)
            manifest.append({"Config": config_name, "RepoTags": list(image.names), "Layers": layer_names})
        _add(tar, "manifest.json", _json(manifest))
    return path


def oci_archive(path: Path, *images: TestImage, platforms: Sequence[str] = ("amd64",), zipped: bool = False) -> Path:
    """Write an OCI layout; with `zipped` its layers are compressed, as those from registries are.

    With several `platforms` an image is an index, of which only linux/amd64 is there whole: that is how an archive
    looks that was pulled for one platform from a registry that has several.
    """
    with tarfile.open(path, "w") as tar:
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        written: set[str] = set()
        roots: list[dict[str, Any]] = []
        for image in images:
            manifests = [
                _oci_manifest(tar, written, _zipped(image) if zipped else image, architecture)
                for architecture in platforms
            ]
            root = manifests[0]
            if len(platforms) > 1:
                root = _blob(
                    tar, written, _json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests}), _INDEX
                )
            roots.extend(
                {**root, "annotations": {"org.opencontainers.image.ref.name": name}} for name in image.names or ("",)
            )
        _add(tar, "index.json", _index(roots))
    return path


def cut(path: Path, archive: Path, part: float = 0.5) -> Path:
    """Write the first part of an archive, as a broken download leaves it."""
    size = int(archive.stat().st_size * part)
    with archive.open("rb") as source, path.open("wb") as target:
        while size > 0 and (chunk := source.read(min(size, _CHUNK))):
            target.write(chunk)
            size -= len(chunk)
    return path


def _oci_manifest(tar: tarfile.TarFile, written: set[str], image: TestImage, architecture: str) -> dict[str, Any]:
    """Add what the image is on one platform, if that is amd64, and return its descriptor."""
    present = architecture == "amd64"
    config = image.config(architecture)
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, _sha256(config), len(config)),
            "layers": [_descriptor(layer.media_type, layer.digest, layer.size) for layer in image.layers],
        }
    )
    platform = {"platform": {"os": "linux", "architecture": architecture}}
    if not present:
        return {**_descriptor(_MANIFEST, _sha256(manifest), len(manifest)), **platform}
    for layer in image.layers:
        name = f"blobs/sha256/{layer.digest}"
        if name not in written:
            tar.add(layer.path, name)
            written.add(name)
    _blob(tar, written, config, _CONFIG)
    return {**_blob(tar, written, manifest, _MANIFEST), **platform}


def _index(manifests: list[dict[str, Any]]) -> bytes:
    return _json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests})


def _blob(tar: tarfile.TarFile, written: set[str], content: bytes, media_type: str) -> dict[str, Any]:
    digest = _sha256(content)
    name = f"blobs/sha256/{digest}"
    if name not in written:
        _add(tar, name, content)
        written.add(name)
    return _descriptor(media_type, digest, len(content))


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def _layer(path: Path, files: dict[str, Path], links: dict[str, str] | None = None) -> Layer:
    """Write a layer with these files, all owned by root and executable."""
    with tarfile.open(path, "w") as tar:
        for folder in sorted({str(Path(name).parent) for name in files}):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name, source in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = source.stat().st_size, 0o755
            with source.open("rb") as content:
                tar.addfile(entry, content)
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    with path.open("rb") as content:
        digest = _sha256_of(content)
    return Layer(path, digest, digest)


def _zipped(image: TestImage) -> TestImage:
    layers = []
    for layer in image.layers:
        path = layer.path.with_suffix(".tar.gz")
        with layer.path.open("rb") as source, path.open("wb") as file, gzip.GzipFile("", "wb", 1, file, 0) as target:
            shutil.copyfileobj(source, target)
        with path.open("rb") as content:
            layers.append(Layer(path, _sha256_of(content), layer.diff_id))
    return replace(image, layers=tuple(layers))


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sha256_of(file: BinaryIO) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()
