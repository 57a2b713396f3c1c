"""Archives of container images: taken as they come, looked into, kept or refused without a trace."""

import asyncio
import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from api_testbed import HEADERS, MISSING, Testbed, problem
from starlette.types import Message

from domain.errors import StepFailed
from store.archives import ArchiveFolder

FIELDS = {"digest", "names", "size_bytes", "state", "error", "created_at"}
MEBIBYTE = 1024 * 1024


def tar_of(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return target.getvalue()


def docker_archive(*names: str, layer: bytes = b"a layer") -> bytes:
    manifest = [{"Config": "c.json", "RepoTags": list(names), "Layers": ["l.tar"]}]
    return tar_of({"c.json": b"{}", "l.tar": layer, "manifest.json": json.dumps(manifest).encode()})


def digest_of(archive: bytes) -> str:
    return f"sha256:{hashlib.sha256(archive).hexdigest()}"


def kept(bed: Testbed) -> list[Path]:
    """Return every file in the archives' folder, half-made ones too."""
    return [path for path in bed.archives.rglob("*") if path.is_file()]


async def load(bed: Testbed, cluster_id: str, archive: bytes) -> dict[str, Any]:
    response = await bed.http.post(
        f"/clusters/{cluster_id}/images", content=archive, headers={"Content-Type": "application/x-tar"}
    )
    assert response.status_code == 202, response.text
    return {**response.json(), "operation": response.headers["Location"].removeprefix("/operations/")}


async def test_an_archive_is_kept_and_its_load_is_started(bed: Testbed) -> None:
    cluster = await bed.active()
    archive = docker_archive("web:1", "web:latest")
    response = await bed.http.post(f"/clusters/{cluster['id']}/images", content=archive)
    assert response.status_code == 202
    image = response.json()
    assert set(image) == FIELDS
    assert (image["digest"], image["names"]) == (digest_of(archive), ["web:1", "web:latest"])
    assert (image["size_bytes"], image["state"], image["error"]) == (len(archive), "pending", None)
    await bed.launcher.settle()
    operation = bed.starter.started[-1]
    assert response.headers["Location"] == f"/operations/{operation.id}"
    assert (operation.kind, operation.params) == ("load-image", {"digest": image["digest"]})
    path = ArchiveFolder(bed.archives).path(cluster["id"], image["digest"])
    assert kept(bed) == [path]
    assert path.read_bytes() == archive
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert (await bed.get(f"/clusters/{cluster['id']}"))["operation_id"] == operation.id
    bed.complete(operation.id)
    listed = await bed.get(f"/clusters/{cluster['id']}/images")
    assert listed == {"images": [{**image, "state": "active"}], "links": []}


async def test_an_archive_goes_to_the_disk_as_it_comes(bed: Testbed) -> None:
    cluster = await bed.active()
    archive = docker_archive("big:1", layer=os.urandom(6 * MEBIBYTE))
    on_disk: list[int] = []

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(archive), 64 * 1024):
            yield archive[start : start + 64 * 1024]
            on_disk.append(sum(path.stat().st_size for path in kept(bed)))

    response = await bed.http.post(f"/clusters/{cluster['id']}/images", content=chunks())
    assert response.status_code == 202
    assert response.json()["digest"] == digest_of(archive)
    sent = [64 * 1024 * (number + 1) for number in range(len(on_disk))]
    assert max(sent - written for sent, written in zip(sent, on_disk, strict=True)) <= MEBIBYTE


async def test_the_same_archive_again_is_loaded_again(bed: Testbed) -> None:
    cluster = await bed.active()
    archive = docker_archive("web:1")
    first = await load(bed, cluster["id"], archive)
    bed.complete(first["operation"])
    again = await load(bed, cluster["id"], archive)
    assert (again["digest"], again["state"], again["created_at"]) == (first["digest"], "pending", first["created_at"])
    assert again["operation"] != first["operation"]
    assert len((await bed.get(f"/clusters/{cluster['id']}/images"))["images"]) == 1
    assert len(kept(bed)) == 1


WHOLE = docker_archive("web:1")
BAD_BODIES = {
    "empty": b"",
    "no tar": b"this is no tar " * 100,
    "gzipped": gzip.compress(WHOLE),
    "cut": docker_archive("web:1", layer=bytes(100_000))[:50_000],
    "another tar": tar_of({"README": b"hello"}),
    "a missing layer": tar_of({"c.json": b"{}", "manifest.json": b'[{"Config": "c.json", "Layers": ["gone"]}]'}),
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_what_is_no_archive_of_images_is_refused_and_leaves_nothing(bed: Testbed, body: bytes) -> None:
    cluster = await bed.active()
    before = bed.rows()
    error = problem(await bed.http.post(f"/clusters/{cluster['id']}/images", content=body), 400)
    assert (error["code"], error["field"]) == ("invalid-input", "body")
    assert kept(bed) == []
    assert bed.rows() == before
    assert not any(operation.kind == "load-image" for operation in bed.starter.started)


async def test_an_archive_compressed_as_a_whole_is_refused_with_what_to_do(bed: Testbed) -> None:
    cluster = await bed.active()
    response = await bed.http.post(f"/clusters/{cluster['id']}/images", content=gzip.compress(WHOLE))
    assert "gunzip" in problem(response, 400)["remedy"]


@pytest.mark.parametrize("told", [True, False])
async def test_an_archive_that_is_too_large_is_refused_and_leaves_nothing(bed: Testbed, *, told: bool) -> None:
    cluster = await bed.active()
    before = bed.rows()

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield bytes(MEBIBYTE)

    body = bytes(9 * MEBIBYTE) if told else chunks()
    error = problem(await bed.http.post(f"/clusters/{cluster['id']}/images", content=body), 413)
    assert error["code"] == "body-too-large"
    assert str(8 * MEBIBYTE) in error["detail"]
    assert kept(bed) == []
    assert bed.rows() == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/clusters"),
        ("POST", f"/clusters/{MISSING}/tasks"),
        ("POST", f"/clusters/{MISSING}/overlays"),
        ("POST", f"/clusters/{MISSING}/images/"),
        ("POST", "/clusters/a/b/images"),
        ("PUT", f"/clusters/{MISSING}/images"),
    ],
)
async def test_no_other_path_takes_a_large_body(bed: Testbed, method: str, path: str) -> None:
    response = await bed.http.request(method, path, content=bytes(64 * 1024 + 1))
    assert problem(response, 413)["code"] == "body-too-large"


@pytest.mark.parametrize("what", ["busy", "missing"])
async def test_nothing_is_read_for_a_cluster_that_can_not_take_it(bed: Testbed, what: str) -> None:
    cluster_id = (await bed.create())["id"] if what == "busy" else MISSING
    read: list[bytes] = []

    async def chunks() -> AsyncIterator[bytes]:
        read.append(WHOLE)
        yield WHOLE

    response = await bed.http.post(f"/clusters/{cluster_id}/images", content=chunks())
    assert problem(response, 409 if what == "busy" else 404)["code"] == (
        "cluster-busy" if what == "busy" else "not-found"
    )
    assert read == []
    assert kept(bed) == []


async def test_a_cluster_that_becomes_busy_meanwhile_keeps_only_what_it_had(bed: Testbed) -> None:
    cluster = await bed.active()
    had = await load(bed, cluster["id"], docker_archive("had:1"))
    bed.complete(had["operation"])
    files = kept(bed)

    for archive in (docker_archive("new:1"), docker_archive("had:1")):

        async def chunks(archive: bytes = archive) -> AsyncIterator[bytes]:
            yield archive[:512]
            task = {"type": "resize", "input": {"node_count": 2}}
            await bed.http.post(f"/clusters/{cluster['id']}/tasks", json=task)
            yield archive[512:]

        response = await bed.http.post(f"/clusters/{cluster['id']}/images", content=chunks())
        assert problem(response, 409)["code"] == "cluster-busy"
        assert kept(bed) == files
        operation_id = (await bed.get(f"/clusters/{cluster['id']}"))["operation_id"]
        bed.begin(operation_id)
        bed.records.fail_operation(operation_id, StepFailed("full").record(), cancelled=False)


async def test_a_cluster_that_is_deleted_meanwhile_leaves_nothing(bed: Testbed) -> None:
    cluster = await bed.active()

    async def chunks() -> AsyncIterator[bytes]:
        yield WHOLE[:512]
        deletion = (await bed.http.delete(f"/clusters/{cluster['id']}")).json()["operation_id"]
        bed.complete(deletion)
        yield WHOLE[512:]

    response = await bed.http.post(f"/clusters/{cluster['id']}/images", content=chunks())
    assert problem(response, 404)["code"] == "not-found"
    assert list(bed.archives.iterdir()) == []


async def test_a_full_disk_is_said_and_leaves_nothing(bed: Testbed) -> None:
    cluster = await bed.active()
    full = ArchiveFolder(bed.archives, reserve_bytes=2**60)
    bed.app.state.parts = replace(bed.app.state.parts, archives=full)
    error = problem(await bed.http.post(f"/clusters/{cluster['id']}/images", content=WHOLE), 507)
    assert error["code"] == "storage-full"
    assert kept(bed) == []


def _messages(*messages: Message) -> Iterator[Message]:
    yield from messages


async def test_an_upload_that_is_cut_leaves_nothing(bed: Testbed) -> None:
    cluster = await bed.active()
    before = bed.rows()
    seen: list[int] = []
    messages = _messages(
        {"type": "http.request", "body": bytes(2 * MEBIBYTE), "more_body": True},
        {"type": "http.disconnect"},
    )

    async def receive() -> Message:
        seen.append(len(kept(bed)))
        return next(messages)

    async def send(_message: Message) -> None:
        await asyncio.sleep(0)

    path = f"/clusters/{cluster['id']}/images"
    headers = [(key.lower().encode(), value.encode()) for key, value in HEADERS.items()]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    await bed.app({**scope, "headers": headers, "http_version": "1.1", "scheme": "http"}, receive, send)
    assert seen == [1, 1]
    assert kept(bed) == []
    assert bed.rows() == before


async def test_what_a_killed_service_left_goes_a_day_later(bed: Testbed) -> None:
    cluster = await bed.active()
    bed.archives.mkdir()
    old, new = bed.archives / ".new-old", bed.archives / ".new-new"
    for path in (old, new):
        path.write_bytes(b"half an archive")
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    image = await load(bed, cluster["id"], WHOLE)
    assert {path.name for path in kept(bed)} == {".new-new", f"{image['digest'].removeprefix('sha256:')}.tar"}


async def test_an_image_is_forgotten_once_it_is_not_being_loaded(bed: Testbed) -> None:
    cluster = await bed.active()
    image = await load(bed, cluster["id"], WHOLE)
    path = f"/clusters/{cluster['id']}/images/{image['digest']}"
    error = problem(await bed.http.delete(path), 409)
    assert error["code"] == "cluster-busy"
    assert image["operation"] in error["detail"]
    assert len(kept(bed)) == 1
    bed.complete(image["operation"])
    response = await bed.http.delete(path)
    assert response.status_code == 200
    assert set(response.json()) == FIELDS
    assert (response.json()["digest"], response.json()["state"]) == (image["digest"], "active")
    assert (await bed.get(f"/clusters/{cluster['id']}/images"))["images"] == []
    assert kept(bed) == []
    assert problem(await bed.http.delete(path), 404)["code"] == "not-found"


@pytest.mark.parametrize("digest", ["sha256:0", "web:1", f"sha256:{'G' * 64}", "..%2f..%2fadmin-token", "%00"])
async def test_a_digest_that_is_none_is_a_404(bed: Testbed, digest: str) -> None:
    cluster = await bed.active()
    assert problem(await bed.http.delete(f"/clusters/{cluster['id']}/images/{digest}"), 404)["code"] == "not-found"
