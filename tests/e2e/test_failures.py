"""Steps that fail for good: the change is undone, and says why in the catalogue's words.

One installation, small in all respects, has the failures one after another; a cluster that is there all the while
shows that they leave it as it was.
"""

import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import machine
import pytest
from installation import KUBERNETES_VERSION, Installation, Json, installed, until
from people import every_kind, people_of
from processes import Processes, processes_of, start_whole
from records import NOTHING, held_by
from small_network import free_network
from sweeping import sweep_until
from whole import assert_whole

POOL_BYTES = 3 * 2**30
UID_RANGES = 5
LAST_BYTES = 256 * 2**20
"""Written, not only allocated, to fill the pool: so all that is left in between is used up too."""


@pytest.fixture(scope="module")
async def small() -> AsyncIterator[tuple[Installation, Processes]]:
    """An installation with room for one cluster of a few nodes."""
    settings = {
        "CARINA_NODE_NETWORK": free_network(),
        "CARINA_UID_RANGES": str(UID_RANGES),
        "CARINA_POOL_BYTES": str(POOL_BYTES),
    }
    with installed(**settings) as installation, processes_of(installation) as processes:
        await start_whole(installation, processes)
        yield installation, processes


@pytest.fixture(scope="module")
def carina(small: tuple[Installation, Processes]) -> Installation:
    return small[0]


@pytest.fixture(scope="module")
async def one(carina: Installation) -> Json:
    """The cluster that has all there is of networks."""
    return await carina.active("one", 2)


async def assert_grow_fails(carina: Installation, cluster: Json, code: str, *, nodes: int = 3) -> None:
    """A grow fails with that code and leaves the cluster, its count and the host as they were."""
    before = machine.containers(carina), machine.links(carina)
    operation = await carina.ended(carina.resize(cluster["id"], nodes))
    assert operation["state"] == "failed"
    assert_explained(operation["error"], code)
    now = carina.cluster(cluster["id"])
    assert (now["status"], now["node_count"], now["error"]) == ("active", cluster["node_count"], None)
    assert (machine.containers(carina), machine.links(carina)) == before
    assert [node["state"] for node in carina.nodes(cluster["id"])] == ["active"] * cluster["node_count"]


async def assert_create_fails(
    carina: Installation, name: str, code: str, *, nodes: int = 1, kind: str = "swarm"
) -> None:
    """A create fails with that code; nothing is left but the cluster's error, and it can be deleted."""
    before = machine.containers(carina), machine.links(carina)
    cluster, create = carina.create(name, nodes, kind=kind)
    operation = await carina.ended(create)
    assert operation["state"] == "failed"
    assert_explained(operation["error"], code)
    now = carina.cluster(cluster["id"])
    assert (now["status"], now["node_count"]) == ("error", 0)
    assert now["error"] == operation["error"]
    assert (machine.containers(carina), machine.links(carina)) == before
    assert held_by(carina, cluster["id"])["nodes"] == []
    await carina.deleted(cluster["id"])
    assert held_by(carina, cluster["id"]) == NOTHING


def assert_explained(error: Json, code: str) -> None:
    assert error["code"] == code, error
    assert error["title"]
    assert error["detail"]
    assert error["remedy"]


@contextmanager
def failing(carina: Installation, step: str) -> Iterator[None]:
    """A step fails for good, for a while."""
    fault = carina.faults / f"fail-{step}"
    fault.touch()
    try:
        yield
    finally:
        fault.unlink(missing_ok=True)


@contextmanager
def away(path: Path) -> Iterator[None]:
    """A directory is elsewhere for a while. If one was made in its place meanwhile, that stays."""
    elsewhere = path.with_name(f".away-{path.name}")
    path.rename(elsewhere)
    try:
        yield
    finally:
        if path.exists():
            machine.run("btrfs", "subvolume", "delete", str(elsewhere / "rootfs"))
            elsewhere.rmdir()
        else:
            elsewhere.rename(path)


def image_of(carina: Installation, cluster: Json) -> Path:
    """The node image that the cluster's nodes are made from."""
    stamp = carina.nodes_dir / carina.nodes(cluster["id"])[0]["container"] / "stamp.json"
    return carina.home / "host/pool/images" / str(json.loads(stamp.read_text())["image"])


@contextmanager
def pool_full(carina: Installation) -> Iterator[None]:
    """The storage pool has no room left for a while."""
    filling = carina.home / "host/pool/filling"
    chunk = os.urandom(2**20)
    try:
        with filling.open("wb", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, max(shutil.disk_usage(filling.parent).free - LAST_BYTES, 1))
            file.seek(0, os.SEEK_END)
            while _is_written(file.write, chunk):
                pass
        yield
    finally:
        filling.unlink()
        os.sync()


def _is_written(write: Callable[[bytes], int | None], chunk: bytes) -> bool:
    try:
        return write(chunk) == len(chunk)
    except OSError:
        return False


async def test_no_subnet_left_fails_the_create(carina: Installation, one: Json) -> None:
    await assert_create_fails(carina, "two", "no-address-left")


async def test_no_room_fails_the_grow_as_a_whole(carina: Installation, one: Json) -> None:
    await assert_grow_fails(carina, one, "no-room", nodes=2 + UID_RANGES)


async def test_a_missing_image_is_made_anew_for_the_grow(carina: Installation, one: Json) -> None:
    image = image_of(carina, one)
    with away(image):
        await carina.succeeded(carina.resize(one["id"], 3))
        assert image.exists()
    await carina.succeeded(carina.resize(one["id"], 2))


async def test_a_full_disk_fails_the_grow(carina: Installation, one: Json) -> None:
    with pool_full(carina):
        await assert_grow_fails(carina, one, "disk-full")


async def test_the_cluster_works_after_all_that(carina: Installation, one: Json) -> None:
    with people_of(carina, one) as people:
        # A manager whose store met the full disk ends, and begins anew by itself.
        await until(lambda: people.ready() == 2, 60, "all nodes are back after a full disk")
    await assert_whole(carina, one["id"], 2)
    await carina.succeeded(carina.resize(one["id"], 3))
    await assert_whole(carina, one["id"], 3)
    await carina.deleted(one["id"])


@every_kind
async def test_changes_of_which_a_late_step_fails_are_undone(carina: Installation, one: Json, kind: str) -> None:
    with failing(carina, "verify_overlay"):
        await assert_create_fails(carina, "late", "step-failed", nodes=2, kind=kind)
    cluster = await carina.active("undone", 2, kind=kind)
    with failing(carina, "join_node"):
        await assert_grow_fails(carina, cluster, "step-failed")
    with failing(carina, "leave_node"):
        operation = await carina.ended(carina.resize(cluster["id"], 1))
    assert operation["state"] == "failed"
    await assert_whole(carina, cluster["id"], 2)
    if kind == "kubernetes":
        with away(image_of(carina, cluster)), away(carina.home / "releases" / f"kubernetes-{KUBERNETES_VERSION}"):
            await assert_grow_fails(carina, cluster, "release-missing")
    with people_of(carina, cluster) as people:
        people.serve("spread", 4)
        await until(lambda: people.serving("spread") == 4, 60, "nodes take work again")
        assert len(people.places("spread")) == 2
    await carina.deleted(cluster["id"])


@pytest.fixture(scope="module")
async def hasty(small: tuple[Installation, Processes]) -> Installation:
    """The installation, with no patience for nodes any more."""
    carina, processes = small
    processes.kill()
    carina.settings["CARINA_NODE_READY_TIMEOUT_S"] = "0.1"
    await start_whole(carina, processes)
    return carina


@every_kind
async def test_an_engine_that_never_answers_fails_the_create(hasty: Installation, kind: str) -> None:
    await assert_create_fails(hasty, "silent", "docker-silent", nodes=2, kind=kind)


async def test_retain_keeps_the_pieces_until_the_delete(carina: Installation, hasty: Installation) -> None:
    cluster, create = carina.create("kept", 1, query="?retain=true")
    operation = await carina.ended(create)
    assert operation["error"]["code"] == "docker-silent"
    assert carina.cluster(cluster["id"])["status"] == "error"
    kept = machine.containers(carina)
    assert [name for name in kept if "-kept-" in name]
    assert machine.bridges(carina)
    await carina.deleted(cluster["id"])
    assert machine.containers(carina) == set()
    assert machine.links(carina) == set()


async def test_what_an_undo_could_not_remove_goes_with_a_later_sweep(carina: Installation, hasty: Installation) -> None:
    with failing(carina, "remove_node"):
        await _assert_stuck_and_swept(carina)


async def _assert_stuck_and_swept(carina: Installation) -> None:
    cluster, create = carina.create("stuck", 1)
    operation = await carina.ended(create)
    assert operation["error"]["code"] == "docker-silent", "the reason is the first failure, not the undo's"
    assert [state for _, state in held_by(carina, cluster["id"])["nodes"]] == ["leftover"]
    left = machine.containers(carina)
    assert len(left) == 1

    await sweep_until(carina, lambda: machine.containers(carina) == set())
    assert held_by(carina, cluster["id"])["nodes"] == []
    (carina.faults / "fail-remove_node").unlink()
    await carina.deleted(cluster["id"])
    assert held_by(carina, cluster["id"]) == NOTHING
    assert machine.links(carina) == set()
