"""Long polls of an operation: told soon, told once, and never in the way of the service's end."""

import asyncio
import time
from typing import Any

import pytest
from api_testbed import MISSING, Testbed, problem

from domain.errors import CommandFailed
from store.repository import Repository
from store.revisions import revision_of

LONG_S = 8


async def follow(bed: Testbed, operation: dict[str, Any], wait_s: float = LONG_S) -> tuple[dict[str, Any], float]:
    """Return the next answer, and how long it took."""
    began = time.monotonic()
    answer = await bed.get(f"/operations/{operation['id']}?wait_s={wait_s}&revision={operation['revision']}")
    return answer, time.monotonic() - began


@pytest.fixture
async def operation(bed: Testbed) -> dict[str, Any]:
    cluster = await bed.create()
    bed.begin(cluster["operation_id"])
    return await bed.get(f"/operations/{cluster['operation_id']}")


async def test_every_change_gives_another_revision_and_the_cheap_look_finds_the_same(
    bed: Testbed, operation: dict[str, Any]
) -> None:
    repository = Repository(bed.engine, "admin")
    name, failure = operation["id"], CommandFailed("it failed").record()
    first = {"name": "ensure_node", "node": "demo-1", "host": "machine"}
    changes = [
        lambda: bed.records.step_started(name, "1", **first, attempt=1),
        lambda: bed.records.step_ended(name, "1", attempt=1, error=failure, note=None),
        lambda: bed.records.step_started(name, "1", **first, attempt=2),
        lambda: bed.records.step_started(name, "1", **first, attempt=3),  # the second is lost
        lambda: bed.records.step_ended(name, "1", attempt=2, error=None, note=None),  # and is heard of after all
        lambda: bed.records.step_ended(name, "1", attempt=3, error=None, note=None),
        lambda: bed.records.complete_operation(name),
    ]
    seen = [operation["revision"]]
    for change in changes:
        change()
        assert repository.revision(name) == revision_of(repository.operation(name))
        seen.append((await bed.get(f"/operations/{name}"))["revision"])
    assert len(set(seen)) == len(changes) + 1


async def test_the_end_is_told_at_once(bed: Testbed, operation: dict[str, Any]) -> None:
    waiting = asyncio.create_task(follow(bed, operation))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    bed.records.complete_operation(operation["id"])
    ended = time.monotonic()
    answer, _ = await waiting
    assert answer["state"] == "succeeded"
    assert time.monotonic() - ended < 1


async def test_steps_that_change_together_are_told_together(bed: Testbed, operation: dict[str, Any]) -> None:
    waiting = asyncio.create_task(follow(bed, operation))
    for number in "123":
        await asyncio.sleep(0.01)
        bed.records.step_started(operation["id"], number, name="ensure_node", node=None, host=None, attempt=1)
    answer, took_s = await waiting
    assert len(answer["steps"]) == 3
    assert took_s < 2


async def test_without_news_the_same_comes_after_the_wait(bed: Testbed, operation: dict[str, Any]) -> None:
    answer, took_s = await follow(bed, operation, 0.2)
    assert answer == operation
    assert 0.2 <= took_s < 2


@pytest.mark.parametrize("query", ["wait_s=8", "wait_s=8&revision=an-old-one", "revision={revision}", ""])
async def test_what_need_not_wait_does_not(bed: Testbed, operation: dict[str, Any], query: str) -> None:
    began = time.monotonic()
    answer = await bed.get(f"/operations/{operation['id']}?{query.format(**operation)}")
    assert answer == operation
    assert time.monotonic() - began < 2


async def test_a_service_that_stops_ends_the_waits_and_lets_none_begin(bed: Testbed, operation: dict[str, Any]) -> None:
    waiting = asyncio.create_task(follow(bed, operation))
    await asyncio.sleep(0.1)
    bed.waits.close()
    answer, took_s = await waiting
    assert answer == operation
    assert took_s < 2
    assert (await follow(bed, operation))[1] < 2


async def test_a_client_that_left_is_not_waited_for(bed: Testbed, operation: dict[str, Any]) -> None:
    async def gone() -> bool:
        return True

    look = lambda: Repository(bed.engine, "admin").revision(operation["id"])  # noqa: E731 - a call, to be made again
    async with asyncio.timeout(2):
        await bed.waits.for_change(look, operation["revision"], wait_s=LONG_S, gone=gone)


@pytest.mark.parametrize("value", ["-1", "9.5", "soon", "nan", "inf"])
async def test_a_wait_out_of_bounds_is_a_400_that_names_it(bed: Testbed, operation: dict[str, Any], value: str) -> None:
    response = await bed.http.get(f"/operations/{operation['id']}?wait_s={value}&revision=x")
    assert problem(response, 400)["field"] == "wait_s"


async def test_a_revision_that_is_too_long_is_a_400_that_names_it(bed: Testbed, operation: dict[str, Any]) -> None:
    response = await bed.http.get(f"/operations/{operation['id']}?revision={'x' * 129}")
    assert problem(response, 400)["field"] == "revision"


async def test_a_missing_operation_is_not_waited_for(bed: Testbed) -> None:
    assert problem(await bed.http.get(f"/operations/{MISSING}?wait_s=8&revision=x"), 404)["code"] == "not-found"
