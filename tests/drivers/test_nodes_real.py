"""Nodes on this machine: what is in them, and what becomes of calls that are cut or that can't succeed."""

import asyncio
import contextlib
import dataclasses
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nodes_help import cut_before, fed_until, in_node, plan_node
from realhost import READY_TIMEOUT_S, RealHost, prepared_host, run

from domain.clusters import SWARM
from domain.errors import CommandFailed, DiskFull, DockerSilent, HostNotReady, ImageUnavailable, NodeNotStarted
from domain.nodes import NodeFile, NodePlan, Stamp
from drivers.image_recipe import PROBE_IMAGE
from drivers.images import NodeImages
from drivers.lxc import LxcNodes

NODES = LxcNodes(ready_timeout_s=READY_TIMEOUT_S)


@pytest.fixture
async def plan(real_host: RealHost, node_image: str) -> AsyncIterator[NodePlan]:
    """The plan of a node. Afterwards, nothing of it may be left."""
    plan = plan_node(real_host, node_image)
    yield plan
    await NODES.remove(plan.host, plan.container)
    assert list((real_host.pool / "nodes").iterdir()) == []
    assert plan.veth not in run("ip", "link", "show")


async def test_a_node_has_its_address_its_files_and_a_docker_that_runs_the_probe_image(
    real_host: RealHost, plan: NodePlan
) -> None:
    await NODES.ensure(plan, [NodeFile("/etc/carina/key", b"secret", 0o400)])
    assert f"{plan.address}/24" in await in_node(real_host, plan, "ip", "address", "show", "eth0")
    assert await in_node(real_host, plan, "stat", "-c", "%a %u %g", "/etc/carina/key") == "400 0 0\n"
    assert await in_node(real_host, plan, "hostname") == f"{plan.name}\n"
    echo = ("docker", "run", "--rm", "--network", "none", PROBE_IMAGE, "echo", "hello")
    assert await in_node(real_host, plan, *echo) == "hello\n"
    assert "0 loaded units" in await in_node(real_host, plan, "systemctl", "--failed", "--no-pager")


async def test_a_nodes_disk_is_closed_to_the_hosts_users(real_host: RealHost, plan: NodePlan) -> None:
    await NODES.ensure(plan, [])
    status = (real_host.pool / "nodes" / plan.container).stat()
    assert stat.S_IMODE(status.st_mode) == 0o700
    assert status.st_uid == plan.uid_base


async def test_nodes_made_at_once_are_different_machines(real_host: RealHost, plan: NodePlan, node_image: str) -> None:
    other = plan_node(real_host, node_image, 2)
    try:
        await asyncio.gather(NODES.ensure(plan, []), NODES.ensure(other, []))
        for what in (("cat", "/etc/machine-id"), ("cat", "/var/lib/docker/engine-id"), ("hostname",)):
            assert await in_node(real_host, plan, *what) != await in_node(real_host, other, *what)
        await in_node(real_host, plan, "ping", "-c", "1", "-W", "2", other.address)
    finally:
        await NODES.remove(other.host, other.container)


async def test_two_calls_at_once_for_one_node_make_one(plan: NodePlan) -> None:
    await asyncio.gather(NODES.ensure(plan, []), NODES.ensure(plan, []))
    assert len(await NODES.found(plan.host)) == 1


async def test_a_swarm_manager_is_the_same_after_its_host_was_down(real_host: RealHost, plan: NodePlan) -> None:
    await NODES.ensure(plan, [])
    await in_node(real_host, plan, "docker", "swarm", "init", "--advertise-addr", plan.address)
    node = await in_node(real_host, plan, "docker", "info", "--format", "{{.Swarm.NodeID}} {{.Swarm.NodeAddr}}")
    await NODES.stop_all(plan.host)
    await NODES.ensure(plan, [])
    again = await in_node(real_host, plan, "docker", "info", "--format", "{{.Swarm.NodeID}} {{.Swarm.NodeAddr}}")
    assert again == node
    assert plan.address in again


ENSURE_CUTS = (
    'btrfs subvolume snapshot "$source"',
    "tar --extract --touch",
    'mv -T "$new" "$dir"',
    'start_container "$nodes" "$container"',
    "exec timeout --foreground",
    'await_ready "$nodes" "$container"',
)


@pytest.mark.parametrize("marker", ENSURE_CUTS)
async def test_a_node_whose_making_was_killed_is_made_by_the_next_call(
    real_host: RealHost, plan: NodePlan, marker: str
) -> None:
    with pytest.raises(CommandFailed, match="SIGKILL"):
        await LxcNodes(cut_before(marker)).ensure(plan, [NodeFile("/etc/carina/from", b"first")])
    [half] = await NODES.found(plan.host)
    assert half.container == plan.container
    await NODES.ensure(plan, [NodeFile("/etc/carina/from", b"second")])
    whole_before = ENSURE_CUTS.index(marker) > ENSURE_CUTS.index('mv -T "$new" "$dir"')
    assert await in_node(real_host, plan, "cat", "/etc/carina/from") == ("first" if whole_before else "second")


@pytest.mark.parametrize("after", [b"config", b"rootfs/etc/hosts", b"rootfs/etc/carina/from"])
async def test_a_node_whose_files_were_cut_off_is_made_by_the_next_call(
    real_host: RealHost, plan: NodePlan, after: bytes
) -> None:
    """Who sends the files may be killed between two of them: tar takes that for their end."""
    with pytest.raises(CommandFailed, match="cut off"):
        await LxcNodes(fed_until(after)).ensure(plan, [NodeFile("/etc/carina/from", b"first")])
    await NODES.ensure(plan, [NodeFile("/etc/carina/from", b"second")])
    assert await in_node(real_host, plan, "cat", "/etc/carina/from") == "second"
    assert sorted(path.name for path in (real_host.pool / "nodes" / plan.container).iterdir()) == [
        "apparmor",
        "config",
        "config.host",
        "log",
        "rootfs",
        "stamp.json",
    ]


@pytest.mark.parametrize("marker", ENSURE_CUTS)
async def test_a_node_whose_making_was_killed_can_be_removed(plan: NodePlan, marker: str) -> None:
    with pytest.raises(CommandFailed, match="SIGKILL"):
        await LxcNodes(cut_before(marker)).ensure(plan, [])
    await NODES.remove(plan.host, plan.container)
    assert await NODES.found(plan.host) == ()


@pytest.mark.parametrize(
    "marker",
    ['mv -T "$nodes/$container"', 'drop_subvolume "$nodes/.gone-$container/rootfs"', 'rm -rf -- "$nodes/.gone'],
)
async def test_a_removal_that_was_killed_is_finished_by_the_next_call(plan: NodePlan, marker: str) -> None:
    await NODES.ensure(plan, [])
    with pytest.raises(CommandFailed, match="SIGKILL"):
        await LxcNodes(cut_before(marker)).remove(plan.host, plan.container)
    assert [(found.container, found.running) for found in await NODES.found(plan.host)] == [(plan.container, False)]
    await NODES.remove(plan.host, plan.container)
    assert await NODES.found(plan.host) == ()


async def test_a_call_that_was_cancelled_does_not_race_the_removal(plan: NodePlan) -> None:
    making = asyncio.create_task(NODES.ensure(plan, []))
    while not await NODES.found(plan.host):
        pass
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    await NODES.remove(plan.host, plan.container)
    assert await NODES.found(plan.host) == ()


async def test_subvolumes_inside_a_node_go_with_it(real_host: RealHost, plan: NodePlan) -> None:
    await NODES.ensure(plan, [])
    inner = real_host.pool / "nodes" / plan.container / "rootfs" / "var" / "lib" / "inner"
    run("btrfs", "subvolume", "create", str(inner))
    run("btrfs", "subvolume", "create", str(inner / "most"))
    await NODES.remove(plan.host, plan.container)
    assert await NODES.found(plan.host) == ()


async def test_another_nodes_container_is_left_alone(plan: NodePlan) -> None:
    await NODES.ensure(plan, [])
    other = dataclasses.replace(plan, stamp=dataclasses.replace(plan.stamp, node_id="another"))
    with pytest.raises(CommandFailed, match="not ours"):
        await NODES.ensure(other, [])
    [found] = await NODES.found(plan.host)
    assert (found.stamp, found.running) == (plan.stamp, True)


async def test_a_node_stays_the_same_when_the_image_has_moved_on(plan: NodePlan) -> None:
    await NODES.ensure(plan, [])
    newer = Stamp(plan.stamp.instance, plan.stamp.cluster_id, plan.stamp.node_id, "e" * 64)
    await NODES.ensure(dataclasses.replace(plan, image="e" * 64, stamp=newer), [])
    assert [found.stamp for found in await NODES.found(plan.host)] == [plan.stamp]


async def test_a_missing_image_is_named(plan: NodePlan) -> None:
    with pytest.raises(ImageUnavailable, match="e" * 64):
        await NODES.ensure(dataclasses.replace(plan, image="e" * 64), [])


async def test_a_container_that_does_not_start_says_why(plan: NodePlan) -> None:
    lost = dataclasses.replace(plan, segment=dataclasses.replace(plan.segment, bridge="nowhere-br9"))
    with pytest.raises(NodeNotStarted, match="nowhere-br9"):
        await NODES.ensure(lost, [])


async def test_uids_that_are_not_claimed_are_refused(plan: NodePlan) -> None:
    with pytest.raises(HostNotReady, match="1900000000"):
        await NODES.ensure(dataclasses.replace(plan, uid_base=1_900_000_000), [])


async def test_a_docker_that_never_gets_ready_is_told_with_its_journal(real_host: RealHost, plan: NodePlan) -> None:
    impatient, complaint = LxcNodes(ready_timeout_s=READY_TIMEOUT_S / 10), "unable to configure the Docker daemon"
    with pytest.raises(DockerSilent):
        await impatient.ensure(plan, [NodeFile("/etc/docker/daemon.json", b"{ nonsense")])
    async with asyncio.timeout(READY_TIMEOUT_S):
        while complaint not in await in_node(real_host, plan, "journalctl", "--unit", "docker.service"):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    with pytest.raises(DockerSilent, match=complaint):
        await impatient.ensure(plan, [])


async def test_a_full_pool_is_told_as_such(node_image: str) -> None:
    with prepared_host(pool_bytes=1536 * 2**20) as small:
        image = await NodeImages().ensure(small.host, SWARM)
        fill(small.pool / "filler")
        with pytest.raises(DiskFull):
            await NODES.ensure(plan_node(small, image), [])


def fill(path: Path) -> None:
    """Write a file until its file system has no room left, and gets none by bringing what it has to the disk."""
    with path.open("wb", buffering=0) as file:
        for _ in range(3):
            with contextlib.suppress(OSError):
                while file.write(os.urandom(2**20)):
                    pass
            os.sync()
