"""Nodes with a size on this machine: what they see, and that they harm nobody but themselves."""

import asyncio
import dataclasses
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from kubernetes_nodes import kubernetes_nodes
from lxcfs_space import Space, space
from nodes_help import in_node, plan_node
from realhost import RealHost, run

from domain.clusters import ClusterType
from domain.nodes import NodePlan
from domain.sizes import Size
from drivers.kubernetes_client import Api
from drivers.lxc import LxcNodes

MIB = 2**20
SIZE = Size(cpus=1, memory_bytes=512 * MIB, disk_bytes=300 * MIB)

LOSE_CONTROLLERS = """
cd /sys/fs/cgroup
if [ -e cgroup.controllers ]; then
  echo cpu memory > /run/lock/controllers
  mount --bind /run/lock/controllers cgroup.controllers
else
  umount pids cpuset
fi
"""


@pytest.fixture(scope="module")
def room(real_host: RealHost, node_image: str) -> Iterator[Space]:
    """A space of the module's own, made when the pool is mounted and the image is in it."""
    with space() as made:
        yield made


@pytest.fixture
async def plan(real_host: RealHost, node_image: str, room: Space) -> AsyncIterator[NodePlan]:
    """The plan of a small node."""
    plan = dataclasses.replace(plan_node(real_host, node_image), size=SIZE)
    yield plan
    await LxcNodes(room.shells).remove(plan.host, plan.container)


@pytest.fixture
async def neighbour(real_host: RealHost, node_image: str, room: Space) -> AsyncIterator[NodePlan]:
    """A node without a size that runs."""
    plan = plan_node(real_host, node_image, 2)
    await LxcNodes(room.shells).ensure(plan, [])
    yield plan
    await LxcNodes(room.shells).remove(plan.host, plan.container)


async def test_a_node_with_a_size_sees_that_as_its_memory_and_cpus(
    real_host: RealHost, room: Space, plan: NodePlan
) -> None:
    await LxcNodes(room.shells).ensure(plan, [])
    free = await room.said(real_host, plan, "free", "--bytes")
    assert int(free.splitlines()[1].split()[1]) == SIZE.memory_bytes
    assert await room.said(real_host, plan, "nproc") == "1\n"
    cpus = await room.said(real_host, plan, "grep", "-c", "^processor", "/proc/cpuinfo")
    assert cpus == "1\n"
    docker = await room.said(real_host, plan, "docker", "info", "--format", "{{.MemTotal}} {{.NCPU}}")
    assert docker == f"{SIZE.memory_bytes} 1\n"


async def test_a_node_that_eats_its_memory_is_killed_inside_and_its_neighbour_answers_all_the_while(
    real_host: RealHost, room: Space, plan: NodePlan, neighbour: NodePlan
) -> None:
    await LxcNodes(room.shells).ensure(plan, [])
    eating = asyncio.create_task(
        room.attached(real_host, plan, "sh", "-c", "head -c 1500M /dev/zero | tail -c 1500M | wc -c; dmesg -c >&-")
    )
    slowest = 0.0
    while not eating.done():
        started = time.monotonic()
        await room.said(real_host, neighbour, "docker", "version", "--format", "{{.Server.Version}}")
        slowest = max(slowest, time.monotonic() - started)
    _, output = await eating
    assert "Killed" in output or output.startswith("0\n")
    assert killed_inside(plan) > 0
    assert slowest < 5
    assert "Containers" in await room.said(real_host, plan, "docker", "info")


async def test_a_node_can_not_raise_its_own_limit(real_host: RealHost, room: Space, plan: NodePlan) -> None:
    await LxcNodes(room.shells).ensure(plan, [])
    for file in ("memory/memory.limit_in_bytes", "memory.max", "cpuset/cpuset.cpus", "cpuset.cpus"):
        write = f"[ ! -e /sys/fs/cgroup/{file} ] || echo 0-1 > /sys/fs/cgroup/{file}"
        status, _ = await room.attached(real_host, plan, "sh", "-c", f"{write} && cat /sys/fs/cgroup/{file}")
        assert status != 0, file


async def test_a_node_that_fills_its_disk_fills_no_more_than_its_own(
    real_host: RealHost, room: Space, plan: NodePlan, neighbour: NodePlan
) -> None:
    await LxcNodes(room.shells).ensure(plan, [])
    inner = real_host.pool / "nodes" / plan.container / "rootfs" / "var" / "lib" / "inner"
    run("btrfs", "subvolume", "create", str(inner))  # as Docker's driver btrfs would
    before = free_bytes(real_host.pool)
    for path in ("/var/lib/inner/fill", "/fill"):
        fill = f"head -c 400M /dev/urandom > {path}"
        status, output = await room.attached(real_host, plan, "sh", "-c", fill)
        assert status != 0
        assert "quota" in output
    run("btrfs", "filesystem", "sync", str(real_host.pool))
    assert before - free_bytes(real_host.pool) < 400 * MIB
    await room.said(real_host, neighbour, "sh", "-c", "head -c 50M /dev/urandom > /fine && sync -f /fine")


async def test_a_node_whose_disk_is_full_can_be_removed_and_its_quota_goes_too(
    real_host: RealHost, room: Space, plan: NodePlan
) -> None:
    nodes = LxcNodes(room.shells)
    await nodes.ensure(plan, [])
    await room.attached(real_host, plan, "sh", "-c", "head -c 400M /dev/urandom > /fill")
    rootfs = real_host.pool / "nodes" / plan.container / "rootfs"
    group = f"202/{run('btrfs', 'inspect-internal', 'rootid', str(rootfs)).strip()}"
    assert group in quota_groups(real_host)
    await nodes.remove(plan.host, plan.container)
    assert await nodes.found(plan.host) == ()
    run("btrfs", "filesystem", "sync", str(real_host.pool))
    run("btrfs", "subvolume", "sync", str(real_host.pool))  # only when all is freed can its group go
    await nodes.ensure(plan, [])
    assert group not in quota_groups(real_host)


async def test_a_node_with_a_size_has_it_again_after_a_stop(real_host: RealHost, room: Space, plan: NodePlan) -> None:
    nodes = LxcNodes(room.shells)
    await nodes.ensure(plan, [])
    await nodes.stop(plan.host, plan.container, 20)
    await nodes.ensure(plan, [])
    assert await room.said(real_host, plan, "nproc") == "1\n"


async def test_limits_that_a_host_has_no_controller_for_are_left_out(
    real_host: RealHost, node_image: str, plan: NodePlan
) -> None:
    with space() as lacking:
        await lacking.run(LOSE_CONTROLLERS, timeout_s=10)
        nodes = LxcNodes(lacking.shells)
        try:
            await nodes.ensure(plan, [])
            config = (real_host.pool / "nodes" / plan.container / "config.host").read_text()
            assert ".pids.max" not in config
            assert ".cpuset.cpus" not in config
            free = await lacking.said(real_host, plan, "free", "--bytes")
            assert int(free.splitlines()[1].split()[1]) == SIZE.memory_bytes
        finally:
            await nodes.remove(plan.host, plan.container)


async def test_nodes_begin_at_different_cpus(real_host: RealHost, node_image: str, room: Space, plan: NodePlan) -> None:
    other = dataclasses.replace(plan_node(real_host, node_image, 2), size=SIZE)
    nodes = LxcNodes(room.shells)
    try:
        await asyncio.gather(nodes.ensure(plan, []), nodes.ensure(other, []))
        allowed = [
            await room.said(real_host, each, "grep", "Cpus_allowed_list", "/proc/self/status") for each in (plan, other)
        ]
        assert allowed[0] != allowed[1]
    finally:
        await nodes.remove(other.host, other.container)


async def test_a_node_without_a_size_sees_the_whole_machine_and_starts_no_lxcfs(
    real_host: RealHost, node_image: str
) -> None:
    plan = plan_node(real_host, node_image)
    try:
        await LxcNodes().ensure(plan, [])
        directory = real_host.pool / "nodes" / plan.container
        assert not (directory / "size").exists()
        assert not re.search("cgroup[2]?[.]|lxcfs", (directory / "config.host").read_text())
        inside = await in_node(real_host, plan, "grep", "MemTotal", "/proc/meminfo")
        assert inside in run("cat", "/proc/meminfo")
        assert "lxcfs" not in await in_node(real_host, plan, "cat", "/proc/mounts")
    finally:
        await LxcNodes().remove(plan.host, plan.container)


async def test_a_kubernetes_node_tells_its_size_as_its_capacity(
    real_host: RealHost, kubernetes: ClusterType, kubernetes_image: str
) -> None:
    with space() as own:
        async with kubernetes_nodes(real_host, kubernetes, kubernetes_image, name="sized", count=1, slot=0) as nodes:
            [manager] = nodes.members
            nodes.plans[0] = plan = dataclasses.replace(nodes.plans[0], size=Size(1, 2048 * MIB, 2048 * MIB))
            files = nodes.orchestrator.node_files(nodes.cluster, plan, manager, nodes.keys)
            await LxcNodes(own.shells, ready_timeout_s=60).ensure(plan, files)
            await nodes.orchestrator.form(manager, nodes.access)
            with Api(manager, nodes.access) as api:
                [node] = api.items("/api/v1/nodes")
            capacity = node["status"]["capacity"]
            assert (capacity["cpu"], capacity["memory"]) == ("1", "2Gi")
            await LxcNodes(own.shells).remove(plan.host, plan.container)


def killed_inside(plan: NodePlan) -> int:
    """How many processes the kernel ended in the node's control group because its memory was used up."""
    for file in (
        f"memory/**/lxc.payload.{plan.container}/memory.oom_control",
        f"**/lxc.payload.{plan.container}/memory.events",
    ):
        for path in Path("/sys/fs/cgroup").glob(file):
            return sum(int(line.split()[1]) for line in path.read_text().splitlines() if line.startswith("oom_kill "))
    pytest.fail(f"{plan.container} has no control group")


def free_bytes(path: Path) -> int:
    return int(run("df", "--block-size=1", "--output=avail", str(path)).splitlines()[1])


def quota_groups(real_host: RealHost) -> list[str]:
    lines = run("btrfs", "qgroup", "show", str(real_host.pool)).splitlines()
    return [line.split()[0] for line in lines if line.startswith("202/")]
