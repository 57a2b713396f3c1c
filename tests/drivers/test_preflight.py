"""Measuring real machines: what is found, and that nothing stays behind."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from sandbox import sandbox

from domain.hosts import CAP_LIMITS, CAP_LXCFS, CAP_QUOTA, CheckState, Host
from domain.instance import Instance
from drivers.hosts import LinuxHosts
from drivers.preflight import gather, read_facts
from drivers.probe_trials import TRIALS
from drivers.requirements import SYSCTLS
from drivers.shell import LocalShell, shell_of

DEMO = Instance("tpre")
HOST = Host("h1", "one", "local", "/var/tmp/carina-test-none/host")
TRACES = (
    "cat /proc/self/mountinfo; ls /sys/class/net /tmp /var/tmp/carina-test-none; nft list tables; ip netns; "
    "ip xfrm state; losetup --list --noheadings --output BACK-FILE | grep -c btrfs.img; "
    "find /sys/fs/cgroup -name '*carina-trial*'; ls /run; ps -A -o args | grep '[l]xcfs -f' || true"
)
FIREWALLS = """nft -f - << 'end'
table ip filter {
    chain FORWARD { type filter hook forward priority filter; policy drop; }
    chain INPUT { type filter hook input priority filter; policy drop; }
}
table ip6 filter {
    chain FORWARD { type filter hook forward priority filter; policy drop; }
}
table ip docker {
    chain FORWARD {
        type filter hook forward priority filter; policy drop;
        jump DOCKER-USER
    }
    chain DOCKER-USER { iifname "tpre-br*" accept; }
}
table inet rejecting {
    chain some {
        type filter hook forward priority filter + 10; policy accept;
        ct state established,related counter accept
        counter reject with icmpx admin-prohibited
    }
}
table inet logging {
    chain user_input { iifname "tpre-br*" accept; }
    chain user_forward { iifname "tpre-br*" counter; }
    chain some {
        type filter hook forward priority filter + 20; policy accept;
        jump user_forward
        log prefix "we drop this: " level info drop
    }
    chain noting {
        type filter hook forward priority filter + 21; policy accept;
        log prefix "we drop this: " counter
    }
}
table inet dispatching {
    chain some {
        type filter hook forward priority filter; policy drop;
        jump zones
    }
    chain zones {
        jump nowhere
        iifname "tpre-br*" goto trusted
    }
    chain nowhere { ip daddr 192.0.2.8 goto some_end; }
    chain some_end { drop; }
    chain trusted { accept; }
}
table inet other {
    set some { type ipv4_addr; }
    chain some { type filter hook forward priority filter; policy accept; ip daddr 192.0.2.7 drop; }
    chain never { drop; }
}
end
"""

UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers").exists()


def ours(output: str) -> set[str]:
    """The lines that a trial could have added: other tests come and go on the machine meanwhile."""
    return {line for line in output.splitlines() if re.search("try|trial|lxcfs -f|btrfs.img|^1$", line)}


async def test_this_machine_can_be_a_host() -> None:
    report = await LinuxHosts(DEMO, shell_of).measure(HOST)
    assert [check for check in report.checks if check.state is CheckState.MISSING] == []
    assert report.cgroup_version == (2 if UNIFIED else 1)
    assert {CAP_LIMITS, CAP_LXCFS, CAP_QUOTA} <= report.capabilities
    assert report.total.cpus == os.cpu_count()
    assert 0 < report.free.memory_bytes < report.total.memory_bytes
    assert 0 < report.free.disk_bytes <= report.total.disk_bytes
    addresses = await LocalShell().run("ip -4 address", timeout_s=10)
    assert f"inet {report.address}/" in addresses.text


async def test_a_container_is_really_started_and_containers_are_nested_in_it() -> None:
    facts = await gather(LocalShell(), DEMO, HOST)
    assert facts["try.container"] == "ok"
    assert facts["trial.seccomp"] == "2"


@pytest.mark.parametrize(
    ("working", "broken", "said"),
    [
        ("mkdir lower", "mkdir nowhere/lower", "nowhere/lower"),
        ("--uts --ipc --fork", "--nonsense", "unshare"),
        ("lxc.autodev = 1", "lxc.nonsense = 1", "lxc"),
    ],
)
async def test_a_trial_container_that_fails_says_at_what(working: str, broken: str, said: str) -> None:
    assert TRIALS.count(working) == 1
    script = 'unshare --net --mount bash -c "$1" trials /'
    result = await LocalShell().run(script, args=(TRIALS.replace(working, broken),), timeout_s=30)
    assert said in read_facts(result.text)["try.container"]


async def test_the_address_is_that_to_which_an_ssh_connection_came_where_there_is_no_default_route() -> None:
    with sandbox() as machine:
        came = "198.51.100.1 4242 192.0.2.2 22"
        # The one that stays in between is what sshd and sudo are.
        script = (
            f'SSH_CONNECTION=\'{came}\' bash -c \'env -u SSH_CONNECTION bash -c "$@"; true\' sudo "$1" x "${{@:2}}"'
        )

        class Sudo(LocalShell):
            """Drops the environment between sshd and the script, as sudo does."""

            async def run(self, inner, *, args=(), **options):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN003, ANN202
                return await machine.run(script, args=(inner, *args), **options)

        report = await LinuxHosts(DEMO, lambda _: Sudo()).measure(HOST)
    assert report.address == "192.0.2.2"


async def test_wireguard_is_tried() -> None:
    tried = await LocalShell().run("unshare --net ip link add type wireguard && echo works || true", timeout_s=10)
    report = await LinuxHosts(DEMO, shell_of, wireguard=True).measure(HOST)
    check = next(check for check in report.checks if check.name == "WireGuard")
    assert check.state is (CheckState.OK if "works" in tried.text else CheckState.DEGRADED)
    assert report.tunnel is None


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
            "ip route add default via 192.0.2.1 dev narrow;" + FIREWALLS
        )
        report = await LinuxHosts(DEMO, machine.shells).measure(HOST)
        states = {check.name: check for check in report.checks}
        assert report.mtu == 1200
        assert states["MTU"].state is CheckState.DEGRADED
        assert "net.ipv4.ip_forward=1" in states["kernel settings"].remedy
        firewalls = states["other firewalls"]
        assert firewalls.state is CheckState.DEGRADED
        refusing = "ip filter FORWARD, inet rejecting some, inet logging some"
        assert firewalls.detail == f"forwarded packets are refused by default: {refusing}"
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
