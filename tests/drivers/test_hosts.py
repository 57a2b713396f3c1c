"""Preparing hosts: the port's contract over the fake and a real machine, and what a real machine is given."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Network
from itertools import pairwise
from typing import Any

import pytest
from sandbox import Sandbox, sandbox
from structlog.testing import capture_logs

from domain.allocation import UIDS_PER_NODE
from domain.errors import CommandFailed, DiskFull, HostNotReady, NoAddressLeft
from domain.hosts import Claim, Host
from domain.instance import Instance
from domain.nodes import Segment
from drivers.fabric import LinuxFabric
from drivers.fakes.hosts import FakeHosts, FakeMachine
from drivers.hosts import LinuxHosts
from drivers.pool import ensure_pool
from drivers.provision import provide
from drivers.shell import Result

ALFA = Instance("talf")
POOL_BYTES = 256 * 2**20

Make = Callable[[str], LinuxHosts | FakeHosts]


def host(prefix: str = "talf", claim: Claim | None = None) -> Host:
    return Host("h1", "one", "local", f"/var/tmp/{prefix}", claim=claim)


@pytest.fixture
def machine() -> Iterator[Sandbox]:
    with sandbox() as made:
        yield made


@pytest.fixture
async def hosts(machine: Sandbox) -> AsyncIterator[LinuxHosts]:
    hosts = LinuxHosts(ALFA, machine.shells, pool_bytes=POOL_BYTES)
    yield hosts
    await hosts.release(host(), purge=True)


@pytest.fixture(params=["fake", "linux"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes instances that share a machine."""
    if request.param == "fake":
        machine = FakeMachine()
        yield lambda prefix: FakeHosts(Instance(prefix), machine)
        return
    with sandbox() as real:
        yield lambda prefix: LinuxHosts(Instance(prefix), real.shells, pool_bytes=POOL_BYTES)


def apart(claims: list[Claim]) -> bool:
    networks = {IPv4Network(claim.network) for claim in claims}
    starts = sorted(claim.uid_first for claim in claims)
    size = claims[0].uid_ranges * UIDS_PER_NODE
    return len(networks) == len(claims) and all(b - a >= size for a, b in pairwise(starts))


async def test_preparing_twice_claims_once(make: Make) -> None:
    hosts = make("talf")
    assert await hosts.ensure_prepared(host()) == await hosts.ensure_prepared(host())


async def test_instances_side_by_side_claim_apart(make: Make) -> None:
    prefixes = ["talf", "tbet", "tgam", "tdel"]
    claims = await asyncio.gather(*(make(prefix).ensure_prepared(host(prefix)) for prefix in prefixes))
    assert apart(list(claims))


async def test_preparing_concurrently_claims_once(make: Make) -> None:
    claims = await asyncio.gather(*(make("talf").ensure_prepared(host()) for _ in range(3)))
    assert len(set(claims)) == 1


async def test_a_released_claim_can_be_had_again(make: Make) -> None:
    first = await make("talf").ensure_prepared(host())
    await make("talf").release(host(), purge=True)
    await make("talf").release(host(), purge=True)
    assert await make("tbet").ensure_prepared(host("tbet")) == first


async def test_a_claim_that_the_record_has_is_claimed_again(make: Make) -> None:
    kept = Claim("10.70.0.0/16", 1_500_000_000, 16)
    assert await make("talf").ensure_prepared(host(claim=kept)) == kept


async def test_a_measured_host_says_what_it_found(make: Make) -> None:
    report = await make("talf").measure(host())
    assert report.fit
    assert report.mtu == 1500


async def test_the_claim_keeps_off_what_the_host_uses(machine: Sandbox, hosts: LinuxHosts) -> None:
    await machine.bash("ip link add there type bridge; ip address add 10.64.9.1/24 dev there; ip link set there up")
    await machine.bash("ip route add unreachable 10.65.128.0/17")
    await machine.bash("echo other:1000000000:70000000 >> /etc/subgid")
    claim = await hosts.ensure_prepared(host())
    assert claim.network == "10.66.0.0/16"
    assert claim.uid_first == 1_070_000_000


async def test_lines_that_vanished_come_back_once(machine: Sandbox, hosts: LinuxHosts) -> None:
    await hosts.ensure_prepared(host())
    before = await machine.bash("cat /etc/subuid /etc/subgid")
    await machine.bash("sed -i /root:1000000000/d /etc/subuid")
    await hosts.ensure_prepared(host())
    assert await machine.bash("cat /etc/subuid /etc/subgid") == before
    assert before.count("root:1000000000:67108864") == 2


async def test_a_claim_cut_before_its_lines_is_completed(machine: Sandbox, hosts: LinuxHosts) -> None:
    held = {"prefix": "talf", "root": "/var/tmp/talf", "network": "10.64.0.0/16", "uid_first": 10**9, "uid_ranges": 2}
    await machine.bash('mkdir -p /etc/carina/claims; echo "$1" > /etc/carina/claims/talf.json', json.dumps(held))
    assert await hosts.ensure_prepared(host()) == Claim("10.64.0.0/16", 10**9, 2)
    assert "root:1000000000:131072" in await machine.bash("cat /etc/subuid")


@pytest.mark.parametrize("cut_after_s", [0.02, 0.05, 0.08, 0.11, 0.14])
async def test_a_call_that_is_cut_is_completed_by_the_next(
    machine: Sandbox, hosts: LinuxHosts, cut_after_s: float
) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(hosts.ensure_prepared(host()), cut_after_s)
    claim = await hosts.ensure_prepared(host())
    assert (await machine.bash("cat /etc/subuid /etc/subgid")).count(f"root:{claim.uid_first}:67108864") == 2
    assert await machine.bash("ls -A /var/tmp/talf; ls /etc/carina/claims") == "pool\npool.img\nstate\ntalf.json"
    assert await machine.bash("stat -f -c %T /var/tmp/talf/pool/nodes") == "btrfs"


async def test_a_lock_of_a_process_that_is_no_more_is_not_waited_for(machine: Sandbox, hosts: LinuxHosts) -> None:
    await machine.bash("sh -c 'printf %s $$' > /etc/subuid.lock")
    await asyncio.wait_for(hosts.ensure_prepared(host()), 10)
    assert await machine.bash("ls /etc | grep ^subuid | grep -v -e - ") == "subuid"


async def test_a_lock_that_is_held_is_waited_for(machine: Sandbox, hosts: LinuxHosts) -> None:
    await machine.bash('printf %s "$1" > /etc/subuid.lock', str(os.getpid()))
    preparing = asyncio.create_task(hosts.ensure_prepared(host()))
    await asyncio.sleep(0.5)
    assert "root:1000000000" not in await machine.bash("cat /etc/subuid")
    assert not preparing.done()
    await machine.bash("rm /etc/subuid.lock")
    await preparing
    assert "root:1000000000" in await machine.bash("cat /etc/subuid")


async def test_a_prefix_that_another_home_has_is_refused(hosts: LinuxHosts) -> None:
    await hosts.ensure_prepared(host())
    with pytest.raises(HostNotReady, match="belongs to the instance in /var/tmp/talf"):
        await hosts.ensure_prepared(replace(host(), root="/var/tmp/elsewhere"))


async def test_what_is_kept_in_another_directory_is_not_given_back(machine: Sandbox, hosts: LinuxHosts) -> None:
    await hosts.ensure_prepared(host())
    looked = "cat /etc/carina/claims/talf.json /etc/subuid /etc/subgid; ls -A /var/tmp/talf/pool; nft list tables"
    before = await machine.bash(looked)
    await hosts.release(replace(host(), root="/var/tmp/elsewhere"), purge=True)
    assert await machine.bash(looked) == before


async def test_a_claim_that_another_instance_took_meanwhile_is_refused(machine: Sandbox, hosts: LinuxHosts) -> None:
    claim = await hosts.ensure_prepared(host())
    late = LinuxHosts(Instance("tbet"), machine.shells, pool_bytes=POOL_BYTES)
    with pytest.raises(HostNotReady, match="claimed by talf too"):
        await late.ensure_prepared(host("tbet", claim))


async def test_the_pool_is_btrfs_with_a_place_for_images_and_nodes(machine: Sandbox, hosts: LinuxHosts) -> None:
    await hosts.ensure_prepared(host())
    looked = "stat -f -c %T /var/tmp/talf/pool/images /var/tmp/talf/pool/nodes; stat -c %s /var/tmp/talf/pool.img"
    assert (await machine.bash(looked)).split() == ["btrfs", "btrfs", str(POOL_BYTES)]


async def test_the_pool_comes_back_with_its_data_after_a_reboot(machine: Sandbox, hosts: LinuxHosts) -> None:
    await hosts.ensure_prepared(host())
    await machine.bash("btrfs -q subvolume create /var/tmp/talf/pool/nodes/kept; umount /var/tmp/talf/pool")
    await hosts.ensure_prepared(host())
    assert await machine.bash("ls /var/tmp/talf/pool/nodes") == "kept"


async def test_a_pool_file_left_half_made_is_made_anew(machine: Sandbox, hosts: LinuxHosts) -> None:
    await machine.bash("mkdir /var/tmp/talf; truncate -s 1M /var/tmp/talf/pool.img.new")
    await hosts.ensure_prepared(host())
    assert await machine.bash("ls -A /var/tmp/talf") == "pool\npool.img\nstate"


async def test_a_root_on_btrfs_needs_no_file(machine: Sandbox) -> None:
    await machine.bash(
        "truncate -s 256M /var/tmp/disk; mkfs.btrfs -q /var/tmp/disk; mkdir /var/tmp/talf;"
        "mount -o loop /var/tmp/disk /var/tmp/talf"
    )
    hosts = LinuxHosts(ALFA, machine.shells)
    await hosts.ensure_prepared(host())
    await hosts.ensure_prepared(host())
    await machine.bash("btrfs -q subvolume create /var/tmp/talf/pool/nodes/node")
    await machine.bash("btrfs -q subvolume snapshot -r /var/tmp/talf/pool/nodes/node /var/tmp/talf/pool/nodes/copy")
    assert await machine.bash("ls -A /var/tmp/talf; stat -c %i /var/tmp/talf/pool") == "pool\nstate\n256"
    await hosts.release(host(), purge=True)
    assert await machine.bash("ls -A /var/tmp/talf") == ""


async def test_a_disk_too_small_for_a_pool_is_said_to_be_full(machine: Sandbox) -> None:
    await machine.bash("mkdir /var/tmp/talf; mount -t tmpfs -o size=64M tmpfs /var/tmp/talf")
    with pytest.raises(DiskFull, match="needs 8 GiB"):
        await ensure_pool(machine, host(), label="x", size_bytes=None)
    assert await machine.bash("ls -A /var/tmp/talf") == ""


async def test_settings_are_raised_and_kept_but_never_lowered(machine: Sandbox) -> None:
    await machine.bash("rm -f /etc/sysctl.d/90-carina.conf")
    await machine.bash("echo 0 > /proc/sys/net/ipv4/ip_forward; echo 200 > /proc/sys/net/ipv4/ip_default_ttl")
    least = {"net.ipv4.ip_forward": 1, "net.ipv4.ip_default_ttl": 100, "net.ipv4.no_such_thing": 5}
    provided = await provide(machine, sysctls=least)
    again = await provide(machine, sysctls=least)
    assert (list(provided.sysctls), list(again.sysctls)) == (["net.ipv4.ip_forward"], [])
    assert await machine.bash("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/ip_default_ttl") == "1\n200"
    assert await machine.bash("cat /etc/sysctl.d/90-carina.conf") == "net.ipv4.ip_forward = 1"


async def test_missing_packages_are_installed_without_questions(machine: Sandbox) -> None:
    # A machine without zstd, whose apt-get has no list of packages until it has fetched one.
    await machine.bash(
        """
        mkdir /mnt/bin
        cat > /mnt/bin/apt-get <<'END'
#!/bin/bash
echo "$DEBIAN_FRONTEND $*" >> /mnt/apt.log
case $1 in
  update) touch /mnt/updated ;;
  install) [ -e /mnt/updated ] && ln -s /bin/true /usr/local/sbin/zstd ;;
esac
END
        chmod +x /mnt/bin/apt-get
        ls /usr/bin > /dev/null
        mkdir /mnt/usr-upper /mnt/usr-work
        mount -t overlay overlay -o lowerdir=/usr,upperdir=/mnt/usr-upper,workdir=/mnt/usr-work /usr
        rm /usr/bin/zstd
        mv /mnt/bin/apt-get /usr/bin/apt-get
        """
    )
    assert list((await provide(machine)).packages) == ["zstd"]
    assert list((await provide(machine)).packages) == []
    calls = (await machine.bash("cat /mnt/apt.log")).splitlines()
    assert [line.split()[1] for line in calls] == ["install", "update", "install"]
    assert all(line.startswith("noninteractive ") for line in calls)
    assert calls[0].endswith(" zstd")
    assert "--no-install-recommends" in calls[0]


async def test_preparing_says_what_it_did(machine: Sandbox, hosts: LinuxHosts) -> None:
    await machine.bash("echo 0 > /proc/sys/net/ipv4/ip_forward")
    with capture_logs() as logs:
        await hosts.ensure_prepared(host())
    assert [entry["event"] for entry in logs] == ["host.setting_raised", "host.kept_for_boot", "host.prepared"]
    assert logs[2] == {
        "event": "host.prepared", "host": "one", "log_level": "info", "network": "10.64.0.0/16",
        "uid_first": 1_000_000_000, "pool_made": True, "pool_mounted": True,
    }  # fmt: skip


async def test_releasing_keeps_the_data_unless_told_to_purge(machine: Sandbox, hosts: LinuxHosts) -> None:
    fabric = LinuxFabric(ALFA, machine.shells)
    tidy = await machine.bash(
        "ls -A /etc /var/tmp; cat /etc/subuid; ip -o link; nft list tables; grep -c . /proc/mounts"
    )
    await machine.bash("echo 0 > /proc/sys/net/ipv4/ip_forward")
    claim = await hosts.ensure_prepared(host())
    await fabric.ensure_segment(host(), Segment("c1", "talf-br0", "10.64.0.0/24", "10.64.0.1", 1500))
    await hosts.release(host(), purge=False)
    assert await machine.bash("ls -A /var/tmp/talf/pool; nft list tables; ls /sys/class/net | grep talf || true") == ""
    assert await hosts.ensure_prepared(host()) == claim
    await hosts.release(host(), purge=True)
    left = await machine.bash(
        "ls -A /etc /var/tmp; cat /etc/subuid; ip -o link; nft list tables; grep -c . /proc/mounts"
    )
    assert [line for line in left.splitlines() if not line.startswith("sub")] == [
        line for line in tidy.splitlines() if not line.startswith("sub")
    ]
    assert await machine.bash("ls /etc/sysctl.d | grep carina || true") == ""


async def test_purging_leaves_other_instances_alone(machine: Sandbox, hosts: LinuxHosts) -> None:
    other = LinuxHosts(Instance("tbet"), machine.shells, pool_bytes=POOL_BYTES)
    await machine.bash("echo 0 > /proc/sys/net/ipv4/ip_forward")
    await hosts.ensure_prepared(host())
    claim = await other.ensure_prepared(host("tbet"))
    await hosts.release(host(), purge=True)
    assert (
        await machine.bash("ls /etc/carina/claims /var/tmp /etc/sysctl.d/90-carina.conf | sort | grep -c tbet") == "2"
    )
    assert f"root:{claim.uid_first}:" in await machine.bash("cat /etc/subuid")
    assert await other.ensure_prepared(host("tbet")) == claim
    await other.release(host("tbet"), purge=True)


async def test_a_pool_in_use_is_not_purged(machine: Sandbox, hosts: LinuxHosts) -> None:
    await hosts.ensure_prepared(host())
    user = machine.keep(*machine.enter(), "bash", "-c", "cd /var/tmp/talf/pool/nodes && echo up && exec sleep infinity")
    with pytest.raises(CommandFailed, match="busy"):
        await hosts.release(host(), purge=True)
    assert await machine.bash("ls /var/tmp/talf/pool /etc/carina/claims") != ""
    await machine.bash('kill "$1"; while [ -e "/proc/$1/cwd" ]; do :; done', str(user))


async def test_a_claim_is_of_the_network_that_the_other_hosts_have(machine: Sandbox, hosts: LinuxHosts) -> None:
    assert (await hosts.ensure_prepared(host(), "10.99.0.0/16")).network == "10.99.0.0/16"
    assert (await hosts.ensure_prepared(host(), "10.98.0.0/16")).network == "10.98.0.0/16"  # no row lives by the first
    await machine.bash("ip link add there type bridge; ip address add 10.97.9.1/24 dev there; ip link set there up")
    with pytest.raises(NoAddressLeft, match=r"10\.97\.0\.0/16"):
        await hosts.ensure_prepared(host(), "10.97.0.0/16")


async def test_preparing_costs_three_round_trips_and_changes_nothing_the_second_time(
    machine: Sandbox, hosts: LinuxHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hosts.ensure_prepared(host())
    look = "find /etc /var/tmp -xdev -newer /var/tmp/mark ! -type s; touch -r /var/tmp/mark /var/tmp"
    await machine.bash("touch /var/tmp/mark")
    whats: list[str] = []
    run = machine.run

    async def counted(script: str, **given: Any) -> Result:
        whats.append(given["what"])
        return await run(script, **given)

    monkeypatch.setattr(machine, "run", counted)
    with capture_logs() as logs:
        await hosts.ensure_prepared(host())
    monkeypatch.undo()
    assert len(whats) == 3
    assert [entry["event"] for entry in logs] == ["host.prepared"]
    changed = set((await machine.bash(look)).splitlines())
    assert {path for path in changed if not path.startswith("/etc/carina/claims")} == set()


async def test_a_preview_says_what_preparing_does_and_changes_nothing(machine: Sandbox, hosts: LinuxHosts) -> None:
    await machine.bash(
        "echo 0 > /proc/sys/net/ipv4/ip_forward; rm -f /etc/sysctl.d/90-carina.conf; touch /var/tmp/mark"
    )
    report, changes = await hosts.preview(host())
    assert await machine.bash("find /etc /var/tmp -xdev -newer /var/tmp/mark; ls -A /var/tmp") == "mark"
    assert report.mtu == 1500
    expected = (
        "set net.ipv4.ip_forward to 1, now and at boot",
        "claim the network 10.64.0.0/16 for nodes",
        "claim the uids and gids 1000000000 to 1067108863",
        "make the storage pool in a file, /var/tmp/talf/pool.img, of at most 0.2 GiB",
        "write /var/tmp/talf/state/boot.sh",
    )
    for sentence in expected:
        assert [change for change in changes if change.startswith(sentence)], (sentence, changes)
    told: list[str] = []
    await hosts.ensure_prepared(host(), tell=told.append)
    assert set(told) >= set(changes)
    assert (await hosts.preview(host()))[1] == []
    told.clear()
    await hosts.ensure_prepared(host(), tell=told.append)
    assert told == []
    await machine.bash("umount /var/tmp/talf/pool")
    assert (await hosts.preview(host()))[1] == ["mount the storage pool at /var/tmp/talf/pool"]


@pytest.fixture
async def device(machine: Sandbox) -> AsyncIterator[str]:
    """An empty block device."""
    path = await machine.bash("truncate -s 256M /var/tmp/disk; losetup --find --show /var/tmp/disk")
    yield path
    await machine.bash('! mountpoint -q /var/tmp/talf/pool || umount /var/tmp/talf/pool; losetup --detach "$1"', path)


async def test_a_device_that_was_named_becomes_the_pool_and_is_given_back_empty(
    machine: Sandbox, hosts: LinuxHosts, device: str
) -> None:
    named = replace(host(), device=device)
    assert (
        f"make a btrfs on {device} for the storage pool, and mount it at /var/tmp/talf/pool"
        in ((await hosts.preview(named))[1])
    )
    await hosts.ensure_prepared(named)
    assert (
        await machine.bash("findmnt -n -o SOURCE /var/tmp/talf/pool; ls -A /var/tmp/talf") == f"{device}\npool\nstate"
    )
    uuid = await machine.bash('blkid -p -s UUID -o value "$1"', device)
    assert uuid in await machine.bash("cat /var/tmp/talf/state/pool")
    await machine.bash("btrfs -q subvolume create /var/tmp/talf/pool/nodes/kept; umount /var/tmp/talf/pool")
    await hosts.ensure_prepared(named)
    assert await machine.bash("ls /var/tmp/talf/pool/nodes") == "kept"
    await hosts.release(named, purge=True)
    assert await machine.bash('blkid -p "$1" || true; ls -A /var/tmp', device) == "disk"


PARTITIONS = r"""
printf '\x80\0\0\0\x83\0\0\0\0\x08\0\0\0\x10\0\0' | dd of="$1" bs=1 seek=446 conv=notrunc status=none
printf '\x55\xaa' | dd of="$1" bs=1 seek=510 conv=notrunc status=none
"""


@pytest.mark.parametrize(
    "fill", ['mkfs.btrfs -q "$1"', 'mkswap -q "$1"', 'mkfs.btrfs -q -L carina-tbet "$1"', PARTITIONS]
)
async def test_a_device_with_something_on_it_is_refused(
    machine: Sandbox, hosts: LinuxHosts, device: str, fill: str
) -> None:
    await machine.bash(fill, device)
    before = await machine.bash('sha256sum < "$1"', device)
    for look in (hosts.preview, hosts.ensure_prepared):
        with pytest.raises(HostNotReady, match=f"{device} has something on it"):
            await look(replace(host(), device=device))
    assert await machine.bash('sha256sum < "$1"', device) == before


async def test_a_device_that_is_none_is_refused(hosts: LinuxHosts) -> None:
    with pytest.raises(HostNotReady, match="/dev/no-such is no block device"):
        await hosts.preview(replace(host(), device="/dev/no-such"))


async def test_a_btrfs_that_the_operator_mounted_is_used_and_only_emptied(machine: Sandbox, hosts: LinuxHosts) -> None:
    await machine.bash(
        "truncate -s 256M /var/tmp/disk; mkfs.btrfs -q -L theirs /var/tmp/disk; mkdir -p /var/tmp/talf/pool;"
        "mount -o loop /var/tmp/disk /var/tmp/talf/pool; btrfs -q subvolume create /var/tmp/talf/pool/theirs;"
        "touch /var/tmp/talf/pool/theirs/file"
    )
    await hosts.ensure_prepared(host())
    await machine.bash("btrfs -q subvolume create /var/tmp/talf/pool/nodes/node")
    await hosts.release(host(), purge=True)
    assert await machine.bash("cd /var/tmp/talf/pool; ls -d * */*") == "theirs\ntheirs/file"


async def test_what_was_the_pool_is_mounted_again_and_nothing_takes_its_place(
    machine: Sandbox, hosts: LinuxHosts, device: str
) -> None:
    await machine.bash(
        'mkfs.btrfs -q -L theirs "$1"; mkdir -p /var/tmp/talf/pool; mount "$1" /var/tmp/talf/pool', device
    )
    await hosts.ensure_prepared(host())
    await machine.bash("btrfs -q subvolume create /var/tmp/talf/pool/nodes/kept; umount /var/tmp/talf/pool")
    assert (await hosts.preview(host()))[1] == ["mount the storage pool at /var/tmp/talf/pool"]
    await hosts.ensure_prepared(host())
    assert await machine.bash("ls /var/tmp/talf/pool/nodes") == "kept"
    gone = "s,^[^ ]*,00000000-0000-4000-8000-000000000000,; s,/dev/.*,/dev/gone,"
    await machine.bash('umount /var/tmp/talf/pool; cp -a /var/tmp/talf/state /var/tmp/saved; sed -i "$1" "$2"', gone,
                       "/var/tmp/talf/state/pool")  # fmt: skip
    with pytest.raises(HostNotReady, match="can't be mounted"):
        await hosts.ensure_prepared(host())
    assert await machine.bash("ls /var/tmp/talf") == "pool\nstate"
    await machine.bash("cp -a /var/tmp/saved/pool /var/tmp/talf/state/pool")
    await hosts.ensure_prepared(host())
