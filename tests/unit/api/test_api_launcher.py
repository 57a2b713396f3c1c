import asyncio
from dataclasses import replace
from typing import cast

import pytest
from api_testbed import FakeStarter
from test_api_starts import OPERATION

from api.launcher import Launcher
from domain.operations import OperationKind
from store.views import Accepted, ClusterView

DELETE = replace(OPERATION, id="op-2", kind=OperationKind.DELETE, params={})
CLUSTER = cast("ClusterView", None)  # the launcher does not look at it


@pytest.fixture
def starter() -> FakeStarter:
    return FakeStarter()


@pytest.fixture
def launcher(starter: FakeStarter) -> Launcher:
    return Launcher(starter, start_timeout_s=0.05)


async def test_what_was_accepted_before_is_not_started_again(starter: FakeStarter, launcher: Launcher) -> None:
    launcher.launch(Accepted(OPERATION, CLUSTER, replayed=True))
    await launcher.settle()
    assert starter.started == []


async def test_a_delete_starts_only_after_what_it_pushes_aside_has_closed(
    starter: FakeStarter, launcher: Launcher
) -> None:
    launcher.launch(Accepted(DELETE, CLUSTER, cancel=OPERATION))
    settled = asyncio.create_task(launcher.settle())
    done, _ = await asyncio.wait({settled}, timeout=0.1)
    assert not done
    assert (starter.cancelled, starter.started) == ([OPERATION], [])
    starter.closed.set()
    await settled
    assert starter.started == [DELETE]


async def test_a_delete_is_left_to_the_reconciler_when_the_cancel_does_not_get_through(
    starter: FakeStarter, launcher: Launcher
) -> None:
    starter.reachable = False
    launcher.launch(Accepted(DELETE, CLUSTER, cancel=OPERATION))
    await launcher.settle()
    assert (starter.cancelled, starter.started) == ([], [])


@pytest.mark.parametrize("failure", [RuntimeError("never thought of"), ValueError("nor of that")])
async def test_an_unforeseen_failure_ends_only_its_own_launch(
    starter: FakeStarter, launcher: Launcher, failure: Exception
) -> None:
    starter.failures[OPERATION.id] = failure
    launcher.launch(Accepted(OPERATION, CLUSTER))
    launcher.launch(Accepted(DELETE, CLUSTER, cancel=OPERATION))
    launcher.launch(Accepted(DELETE, CLUSTER))
    await launcher.settle()
    assert starter.started == [DELETE]


async def test_closing_ends_what_still_waits(starter: FakeStarter, launcher: Launcher) -> None:
    launcher.launch(Accepted(DELETE, CLUSTER, cancel=OPERATION))
    await asyncio.sleep(0)
    async with asyncio.timeout(1):
        await launcher.close()
    await launcher.settle()
    starter.closed.set()
    await asyncio.sleep(0)
    assert starter.started == []
