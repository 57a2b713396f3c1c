"""What archives of container images are taken for."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from image_archives_help import busybox_image, docker_archive, oci_archive

from domain.errors import InvalidInput
from domain.image_archives import image_names

BLOB = f"sha256:{'a' * 64}"
BLOB_NAME = f"blobs/sha256/{'a' * 64}"


def _tar(files: dict[str, bytes], *, kind: int = tarfile.GNU_FORMAT) -> io.BytesIO:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=kind) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    target.seek(0)
    return target


def _docker(manifest: Any, **more: bytes) -> io.BytesIO:
    return _tar({"c.json": b"{}", "l.tar": b"", **more, "manifest.json": json.dumps(manifest).encode()})


def _oci(index: Any) -> io.BytesIO:
    return _tar({"oci-layout": b"{}", BLOB_NAME: b"{}", "index.json": json.dumps(index).encode()})


def _names(path: Path) -> tuple[str, ...]:
    with path.open("rb") as file:
        return image_names(file)


def test_the_names_in_archives_as_tools_write_them(tmp_path: Path) -> None:
    web = busybox_image(tmp_path, "web:1", "registry.example:5000/team/web:1", text="web")
    plain = busybox_image(tmp_path, text="plain")
    assert _names(docker_archive(tmp_path / "docker.tar", web, plain)) == ("registry.example:5000/team/web:1", "web:1")
    assert _names(oci_archive(tmp_path / "oci.tar", web, plain)) == ("registry.example:5000/team/web:1", "web:1")
    assert _names(docker_archive(tmp_path / "plain.tar", plain)) == ()
    many = oci_archive(tmp_path / "platforms.tar", web, platforms=("amd64", "arm64"), zipped=True)
    assert _names(many) == ("registry.example:5000/team/web:1", "web:1")


def test_the_whole_name_of_containerd_goes_before_the_layouts_own() -> None:
    annotations = {"io.containerd.image.name": "docker.io/library/web:1", "org.opencontainers.image.ref.name": "1"}
    index = {"manifests": [{"digest": BLOB, "annotations": annotations}]}
    assert image_names(_oci(index)) == ("docker.io/library/web:1",)


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_kind_of_tar_is_read(kind: int) -> None:
    layer = f"{'d' * 80}/{'l' * 60}.tar"
    manifest = [{"Config": "./c.json", "RepoTags": ["web:1"], "Layers": [layer]}]
    files = {"./c.json": b"{}", layer: b"x" * 1000, "./manifest.json": json.dumps(manifest).encode()}
    assert image_names(_tar(files, kind=kind)) == ("web:1",)


def test_layers_may_be_links_as_old_dockers_wrote_them() -> None:
    target = io.BytesIO()
    manifest = json.dumps([{"Config": "c.json", "Layers": ["a/layer.tar", "b/layer.tar"]}]).encode()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in (("c.json", b"{}"), ("a/layer.tar", b"x"), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("b/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "../a/layer.tar"
        archive.addfile(link)
    target.seek(0)
    assert image_names(target) == ()


GOOD = {"Config": "c.json", "RepoTags": ["web:1"], "Layers": ["l.tar"]}
BAD = {
    "no archive of images": _tar({"README": b"hello"}),
    "no entries": _tar({}),
    "zeros": io.BytesIO(bytes(10_000)),
    "garbage": io.BytesIO(b"garbage " * 5000),
    "a layout without an index": _tar({"oci-layout": b"{}"}),
    "an index without a layout": _tar({"index.json": b'{"manifests": []}'}),
    "a folder for a manifest": _tar({"manifest.json/x": b""}),
    "no JSON": _tar({"manifest.json": b"{"}),
    "no UTF-8": _tar({"manifest.json": b"\xff\xff"}),
    "deep JSON": _tar({"manifest.json": b"[" * 200_000}),
    "a large number": _tar({"manifest.json": b"[" + b"9" * 10_000 + b"]"}),
    "a large manifest": _tar({"manifest.json": b" " * (4 * 1024 * 1024 + 1)}),
    "no list": _docker({}),
    "an empty list": _docker([]),
    "a list of strings": _docker(["web"]),
    "no config": _docker([{"Layers": ["l.tar"]}]),
    "a config that is not there": _docker([{**GOOD, "Config": "gone.json"}]),
    "a config that is a number": _docker([{**GOOD, "Config": 7}]),
    "a layer that is not there": _docker([GOOD, {**GOOD, "Layers": ["l.tar", "gone"]}]),
    "layers that are no list": _docker([{**GOOD, "Layers": "l.tar"}]),
    "names that are no list": _docker([{**GOOD, "RepoTags": "web"}]),
    "a name that is a number": _docker([{**GOOD, "RepoTags": [1]}]),
    "a name with a control character": _docker([{**GOOD, "RepoTags": ["web\x1b[2J:1"]}]),
    "a name that is too long": _docker([{**GOOD, "RepoTags": ["w" * 1000]}]),
    "too many names": _docker([{**GOOD, "RepoTags": [f"web:{number}" for number in range(1001)]}]),
    "an index that is a list": _oci([]),
    "an index without manifests": _oci({}),
    "a manifest without a digest": _oci({"manifests": [{}]}),
    "a digest that is a path": _oci({"manifests": [{"digest": "sha256:../../x"}]}),
    "a blob that is not there": _oci({"manifests": [{"digest": f"sha256:{'b' * 64}"}]}),
    "annotations that are a list": _oci({"manifests": [{"digest": BLOB, "annotations": ["web"]}]}),
}


@pytest.mark.parametrize("file", BAD.values(), ids=BAD.keys())
def test_what_is_no_whole_archive_of_images_is_refused(file: BinaryIO) -> None:
    with pytest.raises(InvalidInput) as refused:
        image_names(file)
    assert refused.value.field == "body"
    assert "docker save" in refused.value.remedy


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_a_cut_archive_is_refused(part: float) -> None:
    whole = _docker([GOOD], **{"z.tar": bytes(300_000)})
    cut = io.BytesIO(whole.getvalue()[: int(300_000 * part)])
    with pytest.raises(InvalidInput):
        image_names(cut)


@pytest.mark.parametrize(
    ("pack", "tool"), [(gzip.compress, "gunzip"), (bz2.compress, "bunzip2"), (lzma.compress, "unxz")]
)
def test_a_compressed_archive_is_refused_with_the_tool_that_helps(pack: Any, tool: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        image_names(io.BytesIO(pack(_docker([GOOD]).getvalue())))
    assert tool in refused.value.remedy


def test_a_header_that_claims_gigabytes_is_not_believed() -> None:
    """A long name (GNU) or extended header (pax) is read whole, of whatever size it says it is."""

    class Endless(io.RawIOBase):
        """Has one header, and after it as many bytes as anyone reads."""

        def __init__(self, header: bytes) -> None:
            self._header = header
            self._at = 0
            self.largest = 0

        def read(self, size: int = -1) -> bytes:
            self.largest = max(self.largest, size)
            part = self._header[self._at : self._at + size]
            self._at += size
            return part + b"a" * (size - len(part))

        def seek(self, offset: int, whence: int = 0) -> int:
            self._at = offset
            return offset

        def tell(self) -> int:
            return self._at

    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
        entry = tarfile.TarInfo("x")
        entry.type, entry.size = kind, 7 * 1024**3
        file = Endless(entry.tobuf(tarfile.GNU_FORMAT))
        with pytest.raises(InvalidInput):
            image_names(file)  # type: ignore[arg-type]
        assert file.largest < 8 * 1024 * 1024


def test_an_archive_of_very_many_entries_is_refused() -> None:
    with pytest.raises(InvalidInput, match="entries"):
        image_names(_tar({f"{number}": b"" for number in range(20_001)}))
