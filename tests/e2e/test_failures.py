"""Steps that fail for good: the change is undone, and says why in the catalogue's words.

One installation, small in all respects, has the failures one after another; a cluster that is there all the while
shows that they leave it as it was.
"""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import machine
import pytest
from installation import Installation, Json, installed
from processes import Processes, processes_of, start_whole
from records import NOTHING, held_by
from small_network import free_network
from sweeping import sweep_until
from whole import assert_whole

POOL_BYTES = 3 * 2**30
UID_RANGES = 5


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


async def assert_create_fails(carina: Installation, name: str, code: str, *, nodes: int = 1) -> None:
    """A create fails with that code; nothing is left but the cluster's error, and it can be deleted."""
    before = machine.containers(carina), machine.links(carina)
    cluster, create = carina.create(name, nodes)
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
def image_away(carina: Installation) -> Iterator[None]:
    """The node image is gone from the host for a while."""
    image = next(path for path in (carina.home / "host/pool/images").iterdir() if not path.name.startswith("."))
    elsewhere = image.with_name(".away")
    image.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(image)


@contextmanager
def pool_full(carina: Installation) -> Iterator[None]:
    """The storage pool has no room left for a while."""
    filling = carina.home / "host/pool/filling"
    chunk = os.urandom(2**20)
    try:
        with filling.open("wb", buffering=0) as file:
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


async def test_a_missing_image_fails_the_grow(carina: Installation, one: Json) -> None:
    with image_away(carina):
        await assert_grow_fails(carina, one, "image-unavailable")


async def test_a_full_disk_fails_the_grow(carina: Installation, one: Json) -> None:
    with pool_full(carina):
        await assert_grow_fails(carina, one, "disk-full")


async def test_the_cluster_works_after_all_that(carina: Installation, one: Json) -> None:
    await assert_whole(carina, one["id"], 2)
    await carina.succeeded(carina.resize(one["id"], 3))
    await assert_whole(carina, one["id"], 3)
    await carina.deleted(one["id"])


async def test_a_missing_image_fails_the_create(carina: Installation, one: Json) -> None:
    with image_away(carina):
        await assert_create_fails(carina, "imageless", "image-unavailable", nodes=2)


async def test_an_engine_that_never_answers_fails_the_create(small: tuple[Installation, Processes]) -> None:
    carina, processes = small
    processes.kill()
    carina.settings["CARINA_NODE_READY_TIMEOUT_S"] = "0.1"
    await start_whole(carina, processes)
    await assert_create_fails(carina, "silent", "docker-silent", nodes=2)


async def test_retain_keeps_the_pieces_until_the_delete(carina: Installation) -> None:
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


async def test_what_an_undo_could_not_remove_goes_with_a_later_sweep(carina: Installation) -> None:
    fault = carina.faults / "fail-remove_node"
    fault.touch()
    cluster, create = carina.create("stuck", 1)
    operation = await carina.ended(create)
    assert operation["error"]["code"] == "docker-silent", "the reason is the first failure, not the undo's"
    assert [state for _, state in held_by(carina, cluster["id"])["nodes"]] == ["leftover"]
    left = machine.containers(carina)
    assert len(left) == 1

    await sweep_until(carina, lambda: machine.containers(carina) == set())
    assert held_by(carina, cluster["id"])["nodes"] == []
    fault.unlink()
    await carina.deleted(cluster["id"])
    assert held_by(carina, cluster["id"]) == NOTHING
    assert machine.links(carina) == set()
