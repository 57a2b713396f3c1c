"""What is read from archives of container images, and what is added to them or refused."""

import gzip
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from image_archives_help import TestImage, busybox_image, cut, docker_archive, oci_archive

from domain.errors import ImageLoadFailed
from drivers.image_archives import docker_supplement, read, renames, whole_name


@pytest.fixture
def web(tmp_path: Path) -> TestImage:
    return busybox_image(tmp_path, "web:1")


def named(image: TestImage, *names: str) -> TestImage:
    return replace(image, names=names)


def write_tar(path: Path, **files: object) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            entry = tarfile.TarInfo(name.replace("__", "-").replace("_", "."))
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def supplemented(path: Path, architecture: str = "amd64") -> list[dict[str, Any]]:
    """Return the manifest.json of an archive as a Docker Engine is sent it, whose blobs must all be there."""
    archive = read(path)
    sent = path.read_bytes()[: archive.end] + docker_supplement(archive, architecture)
    with tarfile.open(fileobj=io.BytesIO(sent), mode="r:") as tar:
        names = set(tar.getnames())
        content = tar.extractfile("manifest.json")
        assert content
        manifest: list[dict[str, Any]] = json.load(content)
    for entry in manifest:
        assert {entry["Config"], *entry["Layers"]} <= names
    return manifest


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("web", "docker.io/library/web:latest"),
        ("web:1", "docker.io/library/web:1"),
        ("shop/web:1", "docker.io/shop/web:1"),
        ("docker.io/web:1", "docker.io/library/web:1"),
        ("index.docker.io/shop/web", "docker.io/shop/web:latest"),
        ("localhost/web:1", "localhost/web:1"),
        ("10.0.0.5:5000/web", "10.0.0.5:5000/web:latest"),
        ("quay.io/team/web:1", "quay.io/team/web:1"),
        ("web@sha256:00", "docker.io/library/web@sha256:00"),
    ],
)
def test_names_are_completed_as_kubelets_and_docker_do(name: str, whole: str) -> None:
    assert whole_name(name) == whole
    assert whole_name(whole) == whole


def test_dockers_archives_are_taken_as_they_are(tmp_path: Path, web: TestImage) -> None:
    archive = read(docker_archive(tmp_path / "web.tar", web, named(web, "two:1")))
    assert renames(archive) == {}
    assert docker_supplement(archive, "amd64") == b""


def test_an_oci_layouts_short_names_are_to_be_completed(tmp_path: Path, web: TestImage) -> None:
    archive = read(oci_archive(tmp_path / "web.tar", web, named(web, "quay.io/team/app:3")))
    assert renames(archive) == {"web:1": "docker.io/library/web:1"}


@pytest.mark.parametrize("zipped", [False, True])
def test_an_oci_layout_gets_the_manifest_that_docker_looks_for(tmp_path: Path, web: TestImage, *, zipped: bool) -> None:
    two = busybox_image(tmp_path, "quay.io/team/app:3", text="two")
    manifest = supplemented(oci_archive(tmp_path / "both.tar", web, two, zipped=zipped))
    assert [entry["RepoTags"] for entry in manifest] == [["docker.io/library/web:1"], ["quay.io/team/app:3"]]
    assert [len(entry["Layers"]) for entry in manifest] == [2, 2]


def test_of_several_platforms_docker_is_told_of_the_nodes_own(tmp_path: Path, web: TestImage) -> None:
    path = oci_archive(tmp_path / "web.tar", web, platforms=("arm64", "amd64"))
    assert len(supplemented(path)) == 1
    with pytest.raises(ImageLoadFailed, match="no image web:1 for linux/arm64"):
        docker_supplement(read(path), "arm64")


def test_an_index_that_names_itself_ends(tmp_path: Path) -> None:
    entry = {"digest": "sha256:00", "annotations": {"org.opencontainers.image.ref.name": "web:1"}}
    path = tmp_path / "loop.tar"
    files = {"oci__layout": {}, "index_json": {"manifests": [entry]}, "blobs/sha256/00": {"manifests": [entry]}}
    with pytest.raises(ImageLoadFailed, match="no image web:1"):
        docker_supplement(read(write_tar(path, **files)), "amd64")


def test_archives_whose_images_have_no_names_are_refused(tmp_path: Path, web: TestImage) -> None:
    by_id = read(docker_archive(tmp_path / "id.tar", named(web)))
    assert docker_supplement(by_id, "amd64") == b""  # Docker takes it: people can run it by its id
    with pytest.raises(ImageLoadFailed, match="has no name"):
        renames(by_id)
    for names, said in (((), "has no name"), (("1",), "only a tag, '1'")):
        archive = read(oci_archive(tmp_path / "tag.tar", named(web, *names)))
        with pytest.raises(ImageLoadFailed, match=said):
            renames(archive)
        with pytest.raises(ImageLoadFailed, match=said):
            docker_supplement(archive, "amd64")


def test_what_is_no_archive_of_images_is_refused_in_words(tmp_path: Path, web: TestImage) -> None:
    whole = docker_archive(tmp_path / "web.tar", web)
    junk, empty, zipped = tmp_path / "junk", tmp_path / "empty", tmp_path / "web.tar.gz"
    junk.write_bytes(b"junk" * 5000)
    empty.write_bytes(b"")
    zipped.write_bytes(gzip.compress(whole.read_bytes()))
    refused = {
        junk: "no whole tar",
        empty: "is empty",
        zipped: "is compressed",
        cut(tmp_path / "cut.tar", whole): "no whole tar: unexpected end",
        write_tar(tmp_path / "other.tar", a_txt=b"hello"): "neither a manifest.json",
        write_tar(tmp_path / "half.tar", index_json={"manifests": []}): "neither a manifest.json",
        write_tar(tmp_path / "broken.tar", manifest_json=b"{"): "can't be read",
        write_tar(tmp_path / "odd.tar", manifest_json={"a": 1}): "no list of JSON objects",
    }
    for path, said in refused.items():
        with pytest.raises(ImageLoadFailed, match=said):
            read(path)
