"""Clusters' networks between hosts of a rack, over SSH: with cables pulled, hosts rebooted, and plugs pulled."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from domain.hosts import Host, HostState
from domain.instance import Instance
from domain.nodes import Neighbour, NodePlan, NodeRole, Segment, Stamp
from domain.publications import Publication
from drivers.boot import ensure_boot, remove_boot
from drivers.fabric import LinuxFabric
from drivers.lxc_config import config_text, stamp_text
from drivers.ssh import SshShell, SshTarget
from tests.rack.racks import Rack, rack

INSTANCE = Instance("rfab")
ROOT = "/var/lib/carina/host"
SEGMENT = Segment("cluster-0", INSTANCE.bridge(0), "10.77.0.0/24", "10.77.0.1", 1450)
UIDS = 1_000_000

_POOL = """
set -euo pipefail
root=$1
mkdir -p "$root/pool"
truncate -s 1G "$root/pool.img"
mkfs.btrfs --quiet "$root/pool.img" > /dev/null
mount -o loop "$root/pool.img" "$root/pool"
mkdir "$root/pool/nodes"
chmod 0711 "$root" "$root/pool" "$root/pool/nodes"
echo root:$2:1048576 | tee -a /etc/subuid >> /etc/subgid
"""

# A node that is no more than its network, a shell and ping.
_NODE = """
set -euo pipefail
dir=$1/pool/nodes/$2
mkdir "$dir"
btrfs subvolume create "$dir/rootfs" > /dev/null
cd "$dir/rootfs"
mkdir -p usr/bin usr/lib usr/lib64 proc sys dev etc tmp var/lib/carina
ln -s usr/bin usr/lib usr/lib64 .
for tool in bash sleep touch ping timeout; do
  cp "/usr/bin/$tool" usr/bin/
  ldd "/usr/bin/$tool" | grep -o '/[^ ]*' | while read -r lib; do cp --parents -L "$lib" .; done
done
ln -s bash usr/bin/sh
printf '#!/bin/sh\\ntrap exit PWR\\ntouch /var/lib/carina/ready\\nsleep infinity & wait\\n' > usr/bin/begin
chmod 0755 usr/bin/begin
printf '%s' "$3" > "$dir/config"
printf 'lxc.apparmor.profile = unconfined\\nlxc.init.cmd = /usr/bin/begin\\n' >> "$dir/config"
printf '%s' "$4" > "$dir/stamp.json"
lxc-start -P "$1/pool/nodes" -n "$2"
"""

_KNOCK = """
attach=(lxc-attach -P "$1/pool/nodes" -n "$2" --)
"${attach[@]}" timeout 1 bash -c ": < /dev/tcp/$3/$4" 2> /dev/null && echo open || echo shut
"""


@dataclass
class Place:
    """A rack, its hosts as Carina knows them, two nodes on the first and one on the second, and the fabric."""

    rack: Rack
    hosts: list[Host]
    shells: dict[str, SshShell]
    plans: list[NodePlan]

    def shell(self, host: Host) -> SshShell:
        return self.shells[host.id]

    @property
    def fabric(self) -> LinuxFabric:
        return LinuxFabric(INSTANCE, self.shell)

    async def join(self) -> None:
        for host in self.hosts:
            others = [Neighbour(p.address, p.host.fabric_address) for p in self.plans if p.host.id != host.id]
            await self.fabric.ensure_segment(host, SEGMENT, others)

    async def silent(self) -> list[tuple[str, str]]:
        """Who does not reach whom."""
        probes = (self.fabric.probe(one, [two.address for two in self.plans if two is not one]) for one in self.plans)
        answers = await asyncio.gather(*probes)
        return [(one.address, two) for one, twos in zip(self.plans, answers, strict=True) for two in twos]

    async def knock(self, plan: NodePlan, address: str, port: int) -> str:
        said = await self.shell(plan.host).run(
            _KNOCK, args=(ROOT, plan.container, address, str(port)), timeout_s=30, what="Knocking"
        )
        return said.text.strip()


@pytest.fixture(scope="module")
def hosts() -> Iterator[Rack]:
    with rack(2) as made:
        yield made


@pytest.fixture(scope="module")
async def place(hosts: Rack) -> AsyncIterator[Place]:
    known = [
        Host(each.name, each.name, each.address, ROOT, HostState.READY, fabric_address=each.address) for each in hosts
    ]
    shells = {
        each.name: SshShell(SshTarget(each.address, identity=each.identity, host_key=each.host_key)) for each in hosts
    }
    plans = [plan(known[number], index) for index, number in ((1, 0), (2, 1), (3, 0))]
    made = Place(hosts, known, shells, plans)
    await asyncio.gather(*(made.shell(host).run(_POOL, args=(ROOT, str(UIDS)), timeout_s=60) for host in known))
    await made.join()
    for host in known:
        await ensure_boot(made.shell(host), INSTANCE, host)
    for each in plans:
        args = (ROOT, each.container, config_text(each), stamp_text(each.stamp))
        await made.shell(each.host).run(_NODE, args=args, timeout_s=60, what="Making a node")
    yield made
    for shell in shells.values():
        await shell.close()


def plan(host: Host, index: int) -> NodePlan:
    return NodePlan(
        host=host,
        name=f"node-{index}",
        container=INSTANCE.container("web", index, f"00000{index}"),
        role=NodeRole.WORKER,
        address=f"10.77.0.{9 + index}",
        uid_base=UIDS + 65536 * index,
        veth=INSTANCE.veth(0, index),
        segment=SEGMENT,
        stamp=Stamp(INSTANCE.prefix, SEGMENT.cluster_id, f"node-id-{index}", "none"),
        image="none",
    )


async def all_reach_each_other(place: Place) -> None:
    """Return when all nodes reach each other, as after a boot."""
    deadline = time.monotonic() + 60
    while True:
        try:
            left = await place.silent()
        except Exception as error:  # noqa: BLE001 - a node that does not run yet
            left = [("", str(error))]
        if not left:
            return
        assert time.monotonic() < deadline, left


async def test_nodes_reach_each_other_and_a_pulled_cable_is_seen(place: Place) -> None:
    assert await place.silent() == []
    first = place.plans[0]
    targets = [each.address for each in place.plans[1:]]
    place.rack[1].cut()
    try:
        assert await place.fabric.probe(first, targets) == [place.plans[1].address]
    finally:
        place.rack[1].mend()
    await all_reach_each_other(place)


async def test_nodes_reach_no_host_but_people_reach_what_is_published(place: Place) -> None:
    one, two = place.hosts
    first, second, _ = place.plans
    for plan in (first, second):
        assert await place.knock(plan, plan.host.fabric_address, 22) == "shut", "the sshd of its own host"
    assert await place.knock(first, two.fabric_address, 22) == "open", "the other host's, until it is guarded"
    for host in place.hosts:
        await place.fabric.ensure_guarded(host, [one.fabric_address, two.fabric_address, place.rack.address])
    assert await place.knock(first, two.fabric_address, 22) == "shut"
    assert await place.knock(second, one.fabric_address, 22) == "shut"
    assert await place.silent() == [], "what joins the hosts is none of the nodes' own packets"
    nobody = Publication(20001, "10.77.0.99", 2376)
    await place.fabric.ensure_publications(one, [Publication(20000, first.address, 2376), nobody])
    assert await asyncio.to_thread(refuses, one.fabric_address, 20000), "the node answers, that it does not listen"
    assert not await asyncio.to_thread(refuses, one.fabric_address, 20001), "nobody answers for one that is not there"


def refuses(address: str, port: int) -> bool:
    """Return whether somebody says at once that nobody listens at a port."""
    try:
        socket.create_connection((address, port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    except TimeoutError:
        return False
    raise AssertionError(f"{address} listens at {port}")


@pytest.mark.parametrize("how", ["reboot", "power_off"])
async def test_a_host_brings_all_back_by_itself(place: Place, how: str) -> None:
    machine = place.rack[0]
    before = await tables(place)
    if how == "reboot":
        await asyncio.to_thread(machine.reboot)
    else:
        await asyncio.to_thread(machine.power_off)
        await asyncio.to_thread(machine.power_on)
    await all_reach_each_other(place)
    assert await tables(place) == before
    unit = machine.run("systemctl show -P ActiveState carina-rfab.service; systemctl --failed --plain --no-legend")
    assert unit.split() == ["active"]


async def tables(place: Place) -> str:
    said = await place.shell(place.hosts[0]).run("nft list table inet carina_rfab", timeout_s=30)
    return said.text


async def test_what_is_removed_leaves_nothing_on_the_host(place: Place) -> None:
    for machine, host in zip(place.rack, place.hosts, strict=True):
        machine.run(
            'for node in "$1"/pool/nodes/*; do lxc-stop -k -P "$1/pool/nodes" -n "${node##*/}"; done; '
            'umount "$1/pool"; rm -r "$1/pool" "$1/pool.img"; : > /etc/subuid; : > /etc/subgid',
            ROOT,
        )
        await place.fabric.remove_all(host)
        await remove_boot(place.shell(host), INSTANCE, host)
        machine.run('rmdir "$1"', ROOT)
        assert machine.leftovers() == []
