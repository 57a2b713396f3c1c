"""The test bed itself: what hosts of a rack can do, and that nothing of a rack stays."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rack.commands import run
from tests.rack.image import OPERATOR
from tests.rack.racks import NAME, TMP, Rack, rack, sweep, token

ROOT = Path(__file__).parents[2]

_NODE = r"""
set -euo pipefail
root=/var/lib/carina/try
mkdir -p $root/pool && truncate -s 1G $root/pool.img && mkfs.btrfs --quiet $root/pool.img
mount -o loop $root/pool.img $root/pool
btrfs subvolume create $root/pool/image > /dev/null
cd $root/pool/image
mkdir -p usr/bin usr/lib usr/lib64 proc sys dev etc tmp
ln -s usr/bin usr/lib usr/lib64 .
for tool in bash sleep cat stat; do
  cp /usr/bin/$tool usr/bin/
  ldd /usr/bin/$tool | grep -o '/[^ ]*' | while read -r lib; do cp --parents -L $lib .; done
done
btrfs subvolume snapshot $root/pool/image $root/pool/rootfs > /dev/null
echo root:1000000:65536 | tee -a /etc/subuid >> /etc/subgid
mkdir $root/pool/node
cat > $root/pool/node/config <<'CONFIG'
lxc.include = /usr/share/lxc/config/common.conf
lxc.include = /usr/share/lxc/config/userns.conf
lxc.include = /usr/share/lxc/config/nesting.conf
lxc.mount.auto = proc:rw sys:rw cgroup:rw:force
lxc.apparmor.profile = unconfined
lxc.idmap = u 0 1000000 65536
lxc.idmap = g 0 1000000 65536
lxc.rootfs.path = dir:/var/lib/carina/try/pool/rootfs
lxc.rootfs.options = idmap=container
lxc.init.cmd = /usr/bin/sleep infinity
lxc.cgroup.memory.limit_in_bytes = 128M
lxc.cgroup2.memory.max = 128M
CONFIG
mkdir -p $root/pool/rootfs/var/lib/lxcfs
lxc-start -P $root/pool -n node
lxc-attach -P $root/pool -n node -- /usr/bin/bash -c 'echo "$UID $(stat -c %u /etc)"; cat /proc/self/uid_map'
"""

_UNDO_NODE = r"""
root=/var/lib/carina/try
lxc-stop -k -P $root/pool -n node; umount $root/pool; rm -rf $root; : > /etc/subuid; : > /etc/subgid
"""


@pytest.fixture(scope="module")
def hosts() -> Iterator[Rack]:
    with rack(2) as made:
        yield made


def test_a_host_boots_with_systemd_as_a_machine_does(hosts: Rack) -> None:
    assert hosts[0].run("systemctl is-system-running --wait", check=False).strip() == "running"
    assert hosts[0].run("systemctl is-active lxcfs").strip() == "active"
    assert hosts[0].leftovers() == []


@pytest.mark.parametrize("user", ["root", OPERATOR])
def test_root_and_a_sudoer_log_in_with_the_key(hosts: Rack, user: str) -> None:
    host = hosts[0]
    known = host.place / "known_hosts"
    known.write_text(f"{host.address} {host.host_key}\n")
    options = ("-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes", "-i", str(host.identity))
    assert run("ssh", *options, f"{user}@{host.address}", "sudo id -u").strip() == "0"


def test_an_unprivileged_node_starts_from_a_snapshot_with_mapped_ids(hosts: Rack) -> None:
    try:
        said = hosts[0].run(_NODE)
        assert said.splitlines()[0] == "0 0"  # the snapshot's files are its own root's
        assert said.split()[2:] == ["0", "1000000", "65536"]
        assert {"mount", "loop", "file", "ids", "process"} <= set(hosts[0].traces())
    finally:
        hosts[0].run(_UNDO_NODE)
    assert hosts[0].leftovers() == []


def test_a_tunnel_joins_two_hosts(hosts: Rack) -> None:
    pair = (hosts[0], hosts[1])
    try:
        for number, (here, there) in enumerate((pair, pair[::-1]), 1):
            here.run(
                "set -e; ip link add vx type vxlan id 7 dstport 4789 remote $1 local $2;"
                "ip addr add $3/24 dev vx; ip link set vx up",
                there.address,
                here.address,
                f"10.255.0.{number}",
            )
        assert "0% packet loss" in hosts[0].run("ping -c 1 -W 2 -M do -s 1422 10.255.0.2")
    finally:
        for host in pair:
            host.run("ip link delete vx", check=False)


def test_a_host_has_rules_of_its_own(hosts: Rack) -> None:
    hosts[0].run("nft add table inet carina_try")
    try:
        assert hosts[0].leftovers() == ["rack1: table inet carina_try"]
        assert hosts[1].leftovers() == []
    finally:
        hosts[0].run("nft delete table inet carina_try")


def test_a_host_finds_its_disk_again_after_its_plug_was_pulled(hosts: Rack) -> None:
    host = hosts[1]
    booted = host.run("systemctl show --property KernelTimestampMonotonic --property UserspaceTimestamp")
    host.run("echo kept > /etc/mark; echo kept > /var/lib/carina/mark; sync")
    host.power_off()
    assert not host.is_on
    host.power_on()
    assert host.run("cat /etc/mark /var/lib/carina/mark; rm /etc/mark /var/lib/carina/mark").split() == ["kept"] * 2
    host.reboot()
    assert host.run("systemctl show --property KernelTimestampMonotonic --property UserspaceTimestamp") != booted


def test_a_cut_host_is_silent_until_it_is_mended(hosts: Rack) -> None:
    host = hosts[1]
    host.cut()
    assert not host.answers
    assert host.run("echo alive") == "alive\n"
    host.mend()
    host.await_ssh()


def test_a_host_can_lack_a_package() -> None:
    with rack(1, without=("nftables", "zstd")) as made:
        assert made[0].run("command -v nft zstd; command -v lxc-start", check=False).split() == ["/usr/bin/lxc-start"]


def test_what_a_killed_run_left_goes_with_the_next() -> None:
    script = (
        "from tests.rack.racks import rack\nwith rack(1) as made:\n    print(made.directory, flush=True)\n    input()"
    )
    with subprocess.Popen(
        (sys.executable, "-c", script), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        directory = Path(process.stdout.readline().strip())
        name = token(directory)
        process.send_signal(signal.SIGKILL)
    assert f"{name}-br" in run("ip", "-oneline", "link")
    sweep()
    assert not directory.exists()
    assert name not in run("ip", "-oneline", "link") + run("nft", "list", "tables")
    assert str(directory) not in Path("/proc/self/mountinfo").read_text()


def test_a_person_ends_a_rack_from_elsewhere() -> None:
    command = [sys.executable, "-m", "tests.rack"]
    before = set(TMP.glob(f"{NAME}*"))
    said = run(*command, "--background", "--count", "1")
    try:
        assert '"name": "rack1"' in said
        [directory] = set(TMP.glob(f"{NAME}*")) - before
    finally:
        run(*command, "--down")
    assert not directory.exists()
