"""What every `Nodes` holds to: the real one on this machine, and the fake that stands in for it."""

from collections.abc import AsyncIterator

import pytest
from nodes_help import plan_node
from realhost import RealHost

from domain.hosts import Claim, Host
from domain.instance import Instance
from domain.nodes import NodeFile, NodePlan, Segment
from drivers.fakes.images import DIGEST
from drivers.fakes.nodes import FakeNodes
from drivers.lxc import LxcNodes

AnyNodes = LxcNodes | FakeNodes
World = tuple[AnyNodes, NodePlan]


@pytest.fixture(params=["fake", "real"])
def world(request: pytest.FixtureRequest) -> World:
    """The nodes under test, and the plan of one."""
    if request.param == "real":
        return LxcNodes(), plan_node(request.getfixturevalue("real_host"), request.getfixturevalue("node_image"))
    host = Host("host-fake", "fake", "local", "/nowhere", claim=Claim("10.0.0.0/16", 500_000_000, 16))
    segment = Segment("cluster-test", "fake-br0", "10.0.0.0/24", "10.0.0.1", 1500)
    return FakeNodes(), plan_node(RealHost(Instance("fake"), host, segment), DIGEST)


@pytest.fixture(autouse=True)
async def _removed_afterwards(world: World) -> AsyncIterator[None]:
    yield
    nodes, plan = world
    await nodes.remove(plan.host, plan.container)


FILES = [NodeFile("/etc/carina/made-of", b"this")]


async def test_a_node_made_runs_under_its_stamp(world: World) -> None:
    nodes, plan = world
    await nodes.ensure(plan, FILES)
    [found] = await nodes.found(plan.host)
    assert (found.container, found.stamp, found.running) == (plan.container, plan.stamp, True)
    assert found.age_s < 60


async def test_making_a_node_again_changes_nothing(world: World) -> None:
    nodes, plan = world
    await nodes.ensure(plan, FILES)
    await nodes.ensure(plan, [])
    assert [found.container for found in await nodes.found(plan.host)] == [plan.container]


async def test_a_node_stopped_is_found_and_starts_again(world: World) -> None:
    nodes, plan = world
    await nodes.ensure(plan, FILES)
    await nodes.stop(plan.host, plan.container, 20)
    assert [found.running for found in await nodes.found(plan.host)] == [False]
    await nodes.ensure(plan, FILES)
    assert [found.running for found in await nodes.found(plan.host)] == [True]


async def test_a_node_removed_is_not_found_and_can_be_removed_again(world: World) -> None:
    nodes, plan = world
    await nodes.ensure(plan, FILES)
    await nodes.remove(plan.host, plan.container)
    await nodes.remove(plan.host, plan.container)
    assert await nodes.found(plan.host) == ()


async def test_stopping_what_is_not_there_is_no_error(world: World) -> None:
    nodes, plan = world
    await nodes.stop(plan.host, plan.container, 1)
    assert await nodes.found(plan.host) == ()
