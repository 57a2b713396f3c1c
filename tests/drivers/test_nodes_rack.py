"""Nodes on a host that is a machine of its own, reached over SSH: their sizes, and what goes wrong there."""

import asyncio
import re
import shlex
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
from docker_nodes import until
from realhost import RealHost

from domain.allocation import node_address, uid_base
from domain.clusters import SWARM
from domain.errors import CommandFailed, DiskFull, NodeNotStarted
from domain.hosts import CAP_LIMITS, CAP_LXCFS, CAP_QUOTA, Host, HostState, Login
from domain.instance import Instance
from domain.nodes import NodePlan, NodeRole, Segment, Stamp
from domain.sizes import Size
from drivers.fabric import LinuxFabric
from drivers.hosts import LinuxHosts
from drivers.images import NodeImages
from drivers.lxc import LxcNodes
from drivers.shells import HostShells
from tests.rack.host import RackHost
from tests.rack.racks import rack
from worker.reach import host_shells

INSTANCE = Instance("rsiz")
ROOT = "/var/lib/carina/rsiz"
NETWORK = "10.92.0.0/16"
MIB = 2**20
HANGS_ITSELF = "exec sleep 600"
HANGS_IN_A_HOOK = 'exec /usr/bin/lxc-start "$@" -s "lxc.hook.pre-start=sleep 600 #"'
HANGS_WITH_CGROUPS = 'exec /usr/bin/lxc-start "$@" -s "lxc.hook.mount=sleep 600 #"'
SIZE = Size(cpus=1, memory_bytes=512 * MIB, disk_bytes=300 * MIB)


@dataclass(frozen=True)
class Place:
    """A prepared machine, and the plan of a small node there."""

    machine: RackHost
    shells: HostShells
    plan: NodePlan

    def inside(self, script: str, *, check: bool = True) -> str:
        """Run a piece of shell in the node, and return what it wrote."""
        attach = f"lxc-attach -P {ROOT}/pool/nodes -n {self.plan.container} --clear-env -- sh -c {shlex.quote(script)}"
        return self.machine.run(f"{attach} 2>&1", check=check)


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory, real_host: RealHost, node_image: str) -> AsyncIterator[Place]:
    with rack(1) as machines:
        machine = machines[0]
        login = Login("operator", machine.port, str(machine.identity), machine.host_key)
        shells = host_shells(tmp_path_factory.mktemp("home"))
        try:
            host = Host("far", machine.name, machine.address, ROOT, login=login)
            hosts = LinuxHosts(INSTANCE, shells, pool_bytes=8 * 2**30)
            claim = await hosts.ensure_prepared(host, NETWORK)
            report = await hosts.measure(replace(host, claim=claim))
            assert {CAP_LIMITS, CAP_LXCFS, CAP_QUOTA} <= report.capabilities
            host = replace(host, claim=claim, state=HostState.READY, fabric_address=report.address, image=node_image)
            assert await NodeImages(shells, builder=lambda: real_host.host).ensure(host, SWARM) == node_image
            segment = Segment("c1", INSTANCE.bridge(0), "10.92.0.0/24", "10.92.0.1", 1450)
            await LinuxFabric(INSTANCE, shells).ensure_segment(host, segment)
            plan = NodePlan(
                host=host,
                name="small",
                container=INSTANCE.container("test", 1, "000001"),
                role=NodeRole.MANAGER,
                address=node_address(segment.cidr, 1),
                uid_base=uid_base(claim, 1),
                veth=INSTANCE.veth(0, 1),
                segment=segment,
                stamp=Stamp(INSTANCE.prefix, "c1", "node-1", node_image),
                image=node_image,
                size=SIZE,
            )
            yield Place(machine, shells, plan)
            await hosts.release(host, purge=True)
        finally:
            await shells.close()


async def test_a_node_on_another_machine_sees_and_keeps_to_its_size(place: Place) -> None:
    nodes = LxcNodes(place.shells, ready_timeout_s=90)
    await nodes.ensure(place.plan, [])
    assert int(place.inside("free --bytes").splitlines()[1].split()[1]) == SIZE.memory_bytes
    assert place.inside("nproc") == "1\n"
    assert "quota" in place.inside("head -c 400M /dev/urandom > /fill", check=False)
    assert "Killed" in place.inside("head -c 1500M /dev/zero | tail -c 1500M > /dev/null; exit 0", check=False)
    assert "Server Version" in place.inside("docker info")
    await nodes.remove(place.plan.host, place.plan.container)
    assert await nodes.found(place.plan.host) == ()


@contextmanager
def hanging_starts(place: Place, command: str) -> Iterator[None]:
    """Have the machine run `command` in place of each lxc-start, with that one's arguments."""
    instead = "/usr/local/bin/lxc-start"
    place.machine.run(f"printf '#!/bin/sh\n%s\n' {shlex.quote(command)} > {instead}; chmod 0755 {instead}")
    try:
        yield
    finally:
        place.machine.run(f"rm {instead}")


def left_of_starts(place: Place) -> str:
    """Processes on the machine that starts which hang are made of, a line each."""
    return place.machine.run("pgrep --full --list-full '^sleep 600$|^.lxc monitor'", check=False)


@pytest.mark.parametrize("command", [HANGS_ITSELF, HANGS_IN_A_HOOK])
async def test_an_lxc_start_that_hangs_is_ended_and_told(place: Place, command: str) -> None:
    nodes = LxcNodes(place.shells, ready_timeout_s=90)
    with (
        hanging_starts(place, command),
        pytest.raises(NodeNotStarted, match="lxc-start did not come back within 20 s"),
    ):
        await nodes.ensure(place.plan, [])
    assert left_of_starts(place) == ""
    [half] = await nodes.found(place.plan.host)
    assert not half.running
    await nodes.ensure(place.plan, [])
    assert "Server Version" in place.inside("docker info")
    await nodes.remove(place.plan.host, place.plan.container)


async def test_a_start_that_hangs_although_nobody_waits_for_it_holds_nobody_up(place: Place) -> None:
    """LXC's own commands would wait for ever for such a container, and so for a list of all."""
    nodes = LxcNodes(place.shells, ready_timeout_s=90)
    host, container = place.plan.host, place.plan.container
    other = replace(place.plan, name="other", container=INSTANCE.container("test", 2, "000002"))
    other = replace(other, address=node_address(other.segment.cidr, 2), veth=INSTANCE.veth(0, 2))
    other = replace(other, uid_base=place.plan.uid_base + 65536)
    await asyncio.gather(*(nodes.ensure(plan, []) for plan in (place.plan, other)))

    async def hang() -> None:
        await nodes.stop(host, container, 10)
        start = f"bash -c {shlex.quote(HANGS_WITH_CGROUPS)} lxc-start -P {ROOT}/pool/nodes -n {container} -d"
        place.machine.run(f"timeout --foreground 1 {start} < /dev/null || true")
        hanging = f"monitor. {ROOT}/pool/nodes {container}\n.*sleep 600"
        until(lambda: bool(re.search(hanging, left_of_starts(place))))

    await hang()
    found = {node.container: node.running for node in await nodes.found(host)}
    assert found == {container: False, other.container: True}
    await nodes.ensure(place.plan, [])
    assert "Server Version" in place.inside("docker info")
    await hang()
    await nodes.remove(host, container)
    assert [node.container for node in await nodes.found(host)] == [other.container]
    await nodes.remove(host, other.container)
    assert left_of_starts(place) == ""
    assert container not in place.machine.run("ls -d /sys/fs/cgroup/{,*/}lxc.*", check=False)


async def test_a_node_whose_monitor_says_nothing_is_left_to_run(place: Place) -> None:
    nodes = LxcNodes(place.shells, ready_timeout_s=90)
    host, container = place.plan.host, place.plan.container
    await nodes.ensure(place.plan, [])
    place.inside("touch /run/still-here")
    place.machine.run("pkill -STOP --full '^.lxc monitor'")
    try:
        assert [node.running for node in await nodes.found(host)] == [True]
        with pytest.raises(CommandFailed, match=f"container {container} hangs in a change"):
            await nodes.ensure(place.plan, [])
    finally:
        place.machine.run("pkill -CONT --full '^.lxc monitor'")
    await nodes.ensure(place.plan, [])
    place.inside("test -e /run/still-here")
    await nodes.remove(host, container)


async def test_a_full_pool_is_told_and_leaves_the_host_as_it_was(place: Place) -> None:
    nodes = LxcNodes(place.shells, ready_timeout_s=90)
    filling = f"{ROOT}/pool/filling"
    place.machine.run(f"btrfs subvolume sync {ROOT}/pool")  # what went before gives its room back a moment later
    free = f"$(($(stat --file-system --format='%a*%S' {ROOT}/pool) - 256 * 1024 * 1024))"
    place.machine.run(f"fallocate --length {free} {filling}; head -c 1G /dev/urandom >> {filling} || sync")
    try:
        with pytest.raises(DiskFull):
            await nodes.ensure(place.plan, [])
    finally:
        place.machine.run(f"rm {filling}; sync")
        await nodes.remove(place.plan.host, place.plan.container)
    await nodes.ensure(place.plan, [])
    await nodes.remove(place.plan.host, place.plan.container)
    assert await nodes.found(place.plan.host) == ()
