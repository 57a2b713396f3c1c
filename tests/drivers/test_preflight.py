"""Measuring real machines: what is found, and that nothing stays behind."""

import os
import subprocess
from pathlib import Path

from sandbox import sandbox

from domain.hosts import CheckState, Host
from domain.instance import Instance
from drivers.hosts import LinuxHosts
from drivers.preflight import gather
from drivers.requirements import SYSCTLS
from drivers.shell import LocalShell, shell_of

DEMO = Instance("tpre")
HOST = Host("h1", "one", "local", "/var/tmp/carina-test-none/host")
TRACES = (
    "cat /proc/self/mountinfo; ls /sys/class/net /tmp /var/tmp/carina-test-none; nft list tables; ip netns; "
    "ip xfrm state; losetup --list --noheadings --output BACK-FILE | grep -c btrfs.img || true"
)


UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers").exists()


def ours(output: str) -> set[str]:
    """The lines that a trial could have added: other tests come and go on the machine meanwhile."""
    return {line for line in output.splitlines() if "try" in line or "btrfs.img" in line or line == "1"}


async def test_this_machine_can_be_a_host() -> None:
    report = await LinuxHosts(DEMO, shell_of).measure(HOST)
    assert [check for check in report.checks if check.state is CheckState.MISSING] == []
    assert report.cgroup_version == (2 if UNIFIED else 1)


async def test_measuring_leaves_nothing_behind() -> None:
    def look() -> str:
        return subprocess.run(["bash", "-c", TRACES], capture_output=True, text=True, check=False).stdout

    before = ours(look())
    await gather(LocalShell(), DEMO, HOST)
    assert ours(look()) - before == set()
    assert "carina-test-none" not in os.listdir("/var/tmp")  # noqa: PTH208


async def test_every_setting_that_is_wanted_is_looked_at() -> None:
    facts = await gather(LocalShell(), DEMO, HOST)
    assert {name for name in SYSCTLS if not facts[f"sysctl.{name}"].isdecimal()} == set()


async def test_a_measured_sandbox_tells_its_low_settings_and_narrow_link() -> None:
    with sandbox() as machine:
        await machine.bash(
            "echo 0 > /proc/sys/net/ipv4/ip_forward; ip link add narrow type veth peer name other;"
            "ip link set narrow mtu 1200 up; ip address add 192.0.2.9/24 dev narrow;"
            "ip route add default via 192.0.2.1 dev narrow;"
            "nft 'table ip filter { chain FORWARD { type filter hook forward priority filter; policy drop; }; }'"
        )
        report = await LinuxHosts(DEMO, machine.shells).measure(HOST)
        states = {check.name: check for check in report.checks}
        assert report.mtu == 1200
        assert states["MTU"].state is CheckState.DEGRADED
        assert states["kernel settings"].remedy == "sysctl -w net.ipv4.ip_forward=1"
        firewalls = states["other firewalls"]
        assert firewalls.state is CheckState.DEGRADED
        await machine.bash(firewalls.remedy)
        again = await LinuxHosts(DEMO, machine.shells).measure(HOST)
        assert next(check.state for check in again.checks if check.name == "other firewalls") is CheckState.OK


async def test_one_who_is_not_root_gets_a_report_too() -> None:
    class Nobody(LocalShell):
        async def run(self, script, *, args=(), **options):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN003, ANN202
            front = 'exec setpriv --reuid 65534 --regid 65534 --clear-groups bash -c "$1" carina "${@:2}"'
            return await super().run(front, args=(script, *args), **options)

    assert os.geteuid() == 0
    report = await LinuxHosts(DEMO, lambda _: Nobody()).measure(HOST)
    assert [check.name for check in report.checks if check.state is CheckState.MISSING] == ["root"]
