"""Hosts that come back after a reboot by what they keep: networks in a sandbox, and real nodes on this machine."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fabric_help import INSTANCE, ROOT, Machine, join, segment, wired
from nodes_help import in_node, plan_node
from realhost import RealHost, run

from domain.errors import CommandFailed, HostNotReady, PoolNotMounted
from domain.hosts import Host
from domain.nodes import NodePlan
from domain.publications import Publication
from drivers.boot import boot_script, ensure_boot, remove_boot
from drivers.fabric import LinuxFabric
from drivers.lxc import LxcNodes
from drivers.shell import LocalShell, Shell, shell_of

WEB, SHOP = segment(0), segment(1)
NODES = LxcNodes()

_FORGET_NETWORKS = """
for path in /sys/class/net/talf-*; do ip link delete "${path##*/}" 2> /dev/null || true; done
nft flush ruleset
"""

_DEVICE = """
truncate -s 200M "$1/disk"
mkfs.btrfs --quiet "$1/disk" > /dev/null
device=$(losetup --find --show "$1/disk")
echo "$device" > "$1/name"
# Held open here, it goes when this process ends, however that comes about.
exec 5< "$device"
losetup --detach "$device"
echo up
exec sleep infinity
"""


@pytest.fixture
def machines() -> Iterator[list[Machine]]:
    with wired() as made:
        for machine in made:
            (Path("/proc") / str(machine.box._pid) / "root" / ROOT.lstrip("/")).mkdir()
        yield made


async def bring_up(shell: Shell, host: Host, *, node_timeout_s: int = 60) -> None:
    """Run what the unit runs at boot, if it is there."""
    await shell.run(
        '[ ! -e "$1/state/boot.sh" ] || exec bash "$1/state/boot.sh" start "$2"',
        args=(host.root, str(node_timeout_s)),
        timeout_s=600,
        what="Booting",
    )


async def make_pool(machine: Machine) -> None:
    """Give a machine a pool in a file, with no node in it."""
    await machine.box.bash(
        'truncate -s 200M "$1/pool.img"; mkfs.btrfs --quiet "$1/pool.img"; mkdir "$1/pool"; '
        'mount -o loop "$1/pool.img" "$1/pool"; mkdir "$1/pool/nodes"',
        ROOT,
    )


async def networks(machine: Machine) -> str:
    """All that the kernel has of the instance's networks, as far as it does not differ from boot to boot."""
    return await machine.box.bash(
        """for device in talf-br0 talf-br1 talf-vx0; do
             ip -4 -o address show dev $device | awk '{print $2, $4}'
             ip -d -o link show dev $device |
               grep -oE 'mtu [0-9]+|talf-br.|02:ca:[0-9a-f:]+|state [A-Z]+|vxlan id.*4789'
           done
           bridge fdb show dev talf-vx0 | grep 02:ca
           ip -4 neighbour show dev talf-vx0
           bridge -d link show dev talf-vx0 | grep -oE '(learning|flood|mcast_flood) (on|off)'
           nft list table inet carina_talf"""
    )


async def test_networks_ports_and_guards_come_back_as_they_were(machines: list[Machine]) -> None:
    one, two = machines
    await make_pool(one)
    await one.fabric.ensure_segment(one.host, WEB)
    await two.fabric.ensure_segment(two.host, WEB)
    await one.add_node(WEB, "10.64.0.10")
    await two.add_node(WEB, "10.64.0.11")
    await join(WEB, one, two)
    await one.fabric.ensure_segment(one.host, SHOP)
    await one.fabric.ensure_publications(one.host, [Publication(80, "10.64.0.10", 8080)])
    await one.fabric.ensure_guarded(one.host, ["203.0.113.0/24"])
    assert await ensure_boot(one.box, INSTANCE, one.host) == [f"{ROOT}/state/boot.sh"]
    before = await networks(one)
    await one.box.bash(f'{_FORGET_NETWORKS} umount "$1/pool"', ROOT)
    assert await one.fabric.found(one.host) != [], "what would come back is found"
    await bring_up(one.box, one.host)
    assert await networks(one) == before
    assert await one.box.bash('stat -f -c %T "$1/pool"', ROOT) == "btrfs"
    await one.add_node(WEB, "10.64.0.10")
    assert two.box.ask("10.64.0.10", two.nodes["10.64.0.11"]) == "10.64.0.11"
    await bring_up(one.box, one.host)
    assert await networks(one) == before, "where all is there nothing changes"


async def test_a_removed_network_does_not_come_back(machines: list[Machine]) -> None:
    one, _ = machines
    await make_pool(one)
    for each in (WEB, SHOP):
        await one.fabric.ensure_segment(one.host, each)
    await one.fabric.remove_segment(one.host, WEB.bridge)
    await ensure_boot(one.box, INSTANCE, one.host)
    await one.box.bash(_FORGET_NETWORKS)
    await bring_up(one.box, one.host)
    assert [found.bridge for found in await one.fabric.found(one.host)] == [SHOP.bridge]


async def test_a_network_whose_file_is_damaged_keeps_no_other_from_coming_back(machines: list[Machine]) -> None:
    one, _ = machines
    await make_pool(one)
    for each in (WEB, SHOP):
        await one.fabric.ensure_segment(one.host, each)
    await ensure_boot(one.box, INSTANCE, one.host)
    await one.box.bash(f': > "$1/state/segments/talf-br0"; {_FORGET_NETWORKS}', ROOT)
    await bring_up(one.box, one.host)
    assert "10.64.1.1/24" in await one.box.bash("ip -4 -o address show dev talf-br1")


async def test_ensuring_twice_changes_nothing_and_removing_leaves_nothing(machines: list[Machine]) -> None:
    one, _ = machines
    assert await ensure_boot(one.box, INSTANCE, one.host) != []
    assert await ensure_boot(one.box, INSTANCE, one.host) == []
    await remove_boot(one.box, INSTANCE, one.host)
    await remove_boot(one.box, INSTANCE, one.host)
    assert await one.box.bash('ls -A "$1"', ROOT) == ""
    await bring_up(one.box, one.host)


async def test_a_pool_on_a_device_is_found_by_what_is_on_it(machines: list[Machine]) -> None:
    one, _ = machines
    one.box.keep(*one.box.enter(), "bash", "-euc", _DEVICE, "device", ROOT)
    device = await one.box.bash('cat "$1/name"', ROOT)
    await one.box.bash(
        'mkdir "$1/pool"; mount -t btrfs "$2" "$1/pool"; btrfs subvolume create "$1/pool/part"; '
        'umount "$1/pool"; mount -t btrfs -o subvol=part "$2" "$1/pool"; mkdir "$1/pool/nodes"',
        ROOT,
        device,
    )
    assert await ensure_boot(one.box, INSTANCE, one.host) == [f"{ROOT}/state/boot.sh"]
    assert await ensure_boot(one.box, INSTANCE, one.host) == []
    await one.box.bash('umount "$1/pool"; sed -i "s,/dev/.*,/dev/gone," "$1/state/pool"', ROOT)
    await bring_up(one.box, one.host)
    assert await one.box.bash('findmnt -n -o SOURCE "$1/pool"', ROOT) == f"{device}[/part]"


async def test_without_its_pool_it_fails_and_says_so(machines: list[Machine]) -> None:
    one, _ = machines
    await ensure_boot(one.box, INSTANCE, one.host)
    with pytest.raises(CommandFailed, match="is no btrfs"):
        await bring_up(one.box, one.host)


@pytest.fixture
async def plans(real_host: RealHost, node_image: str) -> AsyncIterator[list[NodePlan]]:
    """The plans of three nodes of a cluster, which run, on a host that is to bring them back."""
    fabric = LinuxFabric(real_host.instance, shell_of)
    plans = [plan_node(real_host, node_image, index) for index in (1, 2, 3)]
    try:
        await fabric.ensure_segment(real_host.host, real_host.segment)
        await ensure_boot(LocalShell(), real_host.instance, real_host.host)
        await asyncio.gather(*(NODES.ensure(plan, []) for plan in plans))
        yield plans
    finally:
        for plan in plans:
            await NODES.remove(plan.host, plan.container)
        run("rm", "-rf", f"{real_host.host.root}/state")
        run("nft", "delete", "table", "inet", real_host.instance.nft_table)


def pull_the_plug(real_host: RealHost, plans: list[NodePlan]) -> None:
    """Leave of a host what a reboot leaves."""
    for plan in plans:
        run("lxc-stop", "-k", "-P", str(real_host.pool / "nodes"), "-n", plan.container)
    run("ip", "link", "delete", real_host.segment.bridge)
    run("nft", "delete", "table", "inet", real_host.instance.nft_table)
    deadline = time.monotonic() + 10
    while run("ip", "-o", "link").count(f"{real_host.instance.prefix}-"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    run("umount", str(real_host.pool))


async def test_nodes_come_back_with_their_addresses_and_reach_each_other(
    real_host: RealHost, plans: list[NodePlan]
) -> None:
    fabric = LinuxFabric(real_host.instance, shell_of)
    pull_the_plug(real_host, plans)
    with pytest.raises(PoolNotMounted):
        await NODES.found(real_host.host)
    await bring_up(LocalShell(), real_host.host)
    for plan in plans:
        await NODES.ensure(plan, [])
        others = [other.address for other in plans if other is not plan]
        assert await fabric.probe(plan, others) == []
    nobody = real_host.segment.cidr.replace(".0/24", ".99")
    assert await fabric.probe(plans[0], [plans[1].address, nobody, plans[2].address]) == [nobody]


async def test_a_boot_and_calls_that_start_nodes_leave_each_other_alone(
    real_host: RealHost, plans: list[NodePlan]
) -> None:
    pull_the_plug(real_host, plans)
    booting = asyncio.create_task(bring_up(LocalShell(), real_host.host))
    await asyncio.sleep(0)
    while not booting.done():
        with suppress(HostNotReady):  # before the pool is mounted
            await asyncio.gather(*(NODES.ensure(plan, []) for plan in plans))
    await booting
    await asyncio.gather(*(NODES.ensure(plan, []) for plan in plans))
    started = [
        await in_node(real_host, plan, "systemctl", "show", "-P", "UserspaceTimestampMonotonic") for plan in plans
    ]
    await bring_up(LocalShell(), real_host.host)
    for plan, before in zip(plans, started, strict=True):
        now = await in_node(real_host, plan, "systemctl", "show", "-P", "UserspaceTimestampMonotonic")
        assert now == before, "what runs is not started again"


async def test_the_first_node_of_a_cluster_goes_ahead(real_host: RealHost, plans: list[NodePlan]) -> None:
    pull_the_plug(real_host, plans)
    await bring_up(LocalShell(), real_host.host)
    nodes = real_host.pool / "nodes"
    ready = (nodes / plans[0].container / "rootfs/var/lib/carina/ready").stat().st_mtime
    pids = [run("lxc-info", "-P", str(nodes), "-n", plan.container, "-p", "-H").strip() for plan in plans]
    first, *others = [started_at(pid) for pid in pids]
    assert first < ready < min(others)


def started_at(pid: str) -> float:
    """When a process was started, in seconds of the clock on the wall; see proc_pid_stat(5)."""
    ticks = (Path("/proc") / pid / "stat").read_text().rpartition(") ")[2].split()[19]
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted + int(ticks) / os.sysconf("SC_CLK_TCK")


async def test_a_node_whose_start_hangs_keeps_no_other_from_starting(
    real_host: RealHost, plans: list[NodePlan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull_the_plug(real_host, plans)
    hangs = (
        f'#!/bin/bash\n[[ "$*" != *{plans[0].container}* ]] || exec sleep 600\nexec {shutil.which("lxc-start")} "$@"\n'
    )
    (tmp_path / "lxc-start").write_text(hangs)
    (tmp_path / "lxc-start").chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(tmp_path), prepend=":")
        await bring_up(LocalShell(), real_host.host, node_timeout_s=5)
    running = {found.container for found in await NODES.found(real_host.host) if found.running}
    assert running == {plan.container for plan in plans[1:]}
    await bring_up(LocalShell(), real_host.host)
    assert all(found.running for found in await NODES.found(real_host.host))


async def test_nodes_are_stopped_cleanly_when_the_host_goes_down(real_host: RealHost, plans: list[NodePlan]) -> None:
    last_word = ("systemd-run", "-p", "RemainAfterExit=yes", "-p", "ExecStop=touch /var/last-word", "true")
    for plan in plans:
        await in_node(real_host, plan, *last_word)
    await LocalShell().run(boot_script(real_host.instance, real_host.host), args=("stop",), timeout_s=60)
    assert not any(found.running for found in await NODES.found(real_host.host))
    for plan in plans:
        assert (real_host.pool / "nodes" / plan.container / "rootfs/var/last-word").exists()
