"""A machine of its own becomes a host over SSH, for a user with sudo; carries a node; and is given back as it was."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from realhost import RealHost
from structlog.testing import capture_logs

from domain.allocation import UIDS_PER_NODE, node_address, uid_base
from domain.clusters import SWARM
from domain.errors import HostKeyChanged
from domain.hosts import Host, HostState, Login
from domain.instance import Instance
from domain.nodes import NodePlan, NodeRole, Segment, Stamp
from drivers.fabric import LinuxFabric
from drivers.hosts import LinuxHosts
from drivers.images import NodeImages
from drivers.lxc import LxcNodes
from drivers.shells import HostShells
from tests.rack.host import RackHost
from tests.rack.racks import rack
from worker.reach import host_shells

INSTANCE = Instance("rhos")
ROOT = "/var/lib/carina/rhos"
NETWORK = "10.91.0.0/16"
TRACES = """
ls -A /var/lib/carina /etc/systemd/system /etc/systemd/system/multi-user.target.wants /etc/sysctl.d | cat
cat /etc/subuid /etc/subgid
ls /etc/carina /var/lib/carina/rhos 2>/dev/null
findmnt --noheadings --output TARGET --list | grep -v ^/run/user | sort
nft list tables
"""


@dataclass(frozen=True)
class Place:
    """A machine that lacks a package, and what Carina does there through `shells`."""

    machine: RackHost
    host: Host
    shells: HostShells
    hosts: LinuxHosts


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    with rack(1, without=("zstd",)) as machines:
        machine = machines[0]
        login = Login("operator", machine.port, str(machine.identity), machine.host_key)
        shells = host_shells(tmp_path_factory.mktemp("home"))
        try:
            hosts = LinuxHosts(INSTANCE, shells, pool_bytes=8 * 2**30, disconnect=shells.forget)
            yield Place(machine, Host("far", machine.name, machine.address, ROOT, login=login), shells, hosts)
        finally:
            await shells.close()


def node_plan(host: Host, image: str) -> NodePlan:
    assert host.claim
    segment = Segment("c1", INSTANCE.bridge(0), "10.91.0.0/24", "10.91.0.1", 1450)
    return NodePlan(
        host=host,
        name="one",
        container=INSTANCE.container("test", 1, "000001"),
        role=NodeRole.MANAGER,
        address=node_address(segment.cidr, 1),
        uid_base=uid_base(host.claim, 1),
        veth=INSTANCE.veth(0, 1),
        segment=segment,
        stamp=Stamp(INSTANCE.prefix, "c1", "node-1", image),
        image=image,
    )


async def test_another_key_than_the_pinned_one_is_refused(place: Place) -> None:
    other = (Path(place.machine.identity).with_suffix(".pub")).read_text().split()
    login = replace(place.host.login, host_key=" ".join(other[:2]))
    with pytest.raises(HostKeyChanged, match="presents the key SHA256:"):
        await place.hosts.measure(replace(place.host, login=login))


async def test_a_machine_is_previewed_prepared_carries_a_node_and_is_given_back(
    place: Place, real_host: RealHost, node_image: str
) -> None:
    before = place.machine.run(TRACES, check=False)
    report, changes = await place.hosts.preview(place.host, NETWORK)
    assert report.fit
    assert report.address == place.machine.address
    assert "install the package zstd" in changes
    assert f"claim the network {NETWORK} for nodes" in changes
    assert place.machine.run(TRACES, check=False) == before

    claim = await place.hosts.ensure_prepared(place.host, NETWORK)
    counted = place.shells.scripts()
    with capture_logs() as logs:
        assert await place.hosts.ensure_prepared(place.host, NETWORK) == claim
    assert [entry["event"] for entry in logs] == [*["ssh.script"] * 3, "host.prepared"]
    assert (place.shells.scripts() - counted).total() == 3
    assert (await place.hosts.preview(place.host, NETWORK))[1] == []

    host = replace(place.host, claim=claim, state=HostState.READY, fabric_address=place.machine.address)
    images = NodeImages(place.shells, builder=lambda: real_host.host)
    assert await images.ensure(host, SWARM) == node_image
    await _carry_a_node(place, replace(host, image=node_image))

    await place.hosts.release(host, purge=True)
    assert not place.shells.scripts()  # those of connections that are kept
    gone = {line for line in place.machine.run(TRACES, check=False).splitlines() if "sysctl" not in line}
    assert gone - set(before.splitlines()) == set()
    assert f"root:{claim.uid_first}:{claim.uid_ranges * UIDS_PER_NODE}" not in gone


async def _carry_a_node(place: Place, host: Host) -> None:
    """Make a node in two round trips; it outlives the connections over which it was made."""
    plan = node_plan(host, host.image)
    nodes, fabric = LxcNodes(place.shells, ready_timeout_s=90), LinuxFabric(INSTANCE, place.shells)
    counted = place.shells.scripts()
    await fabric.ensure_segment(host, plan.segment)
    await nodes.ensure(plan, [])
    assert (place.shells.scripts() - counted).total() == 2
    pid = f"lxc-info -P {ROOT}/pool/nodes -n {plan.container} -p -H"
    running = place.machine.run(pid)
    await place.shells.forget(host.address, host.login.port)
    [found] = await nodes.found(host)
    assert found.running
    assert place.machine.run(pid) == running
    await nodes.remove(host, plan.container)
    assert list(await nodes.found(host)) == []
