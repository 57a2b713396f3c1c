"""What a node's AppArmor profile refuses and leaves open, as far as its text tells."""

import re

import pytest

from drivers.apparmor import profile_name, profile_text

TEXT = profile_text("demo-web-1-abcdef")
RULES = [line.strip() for line in TEXT.splitlines() if line.strip() and not line.strip().startswith("#")]
DENIED = [rule.split() for rule in RULES if re.match(r"deny /.* \w+,$", rule)]


def refused(path: str, mode: str) -> bool:
    """Whether a rule denies that access to a path, by the globbing of apparmor.d(5)."""
    return any(mode in modes and re.fullmatch(pattern(glob), path) for _, glob, modes in DENIED)


def pattern(glob: str) -> str:
    found = ""
    for token in re.findall(r"\*\*|\[[^]]*\]|.", glob):
        match token:
            case "**":
                found += ".*"
            case "*":
                found += "[^/]*"
            case "{" | "}" | ",":
                found += {"{": "(?:", "}": ")", ",": "|"}[token]
            case _:
                found += token if token.startswith("[") else re.escape(token)
    return found


@pytest.mark.parametrize(
    "path",
    [
        "/proc/sys/kernel/panic",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/vm/swappiness",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/fs/file-max",
        "/proc/sys/fs/binfmt_misc/register",
        "/proc/sys/networks",
        "/proc/sys/user/max_user_namespaces",
        "/sys/fs/btrfs/features",
        "/sys/module/kvm/parameters/x",
        "/sys/power/state",
        "/sys/kernel/mm/ksm/run",
        "/sys/devices/system/cpu/cpu0/online",
        "/sys/devices/virtual/block/loop0/queue/x",
        "/sys/kernel/security/apparmor/.load",
        "/sys/firmware/efi/efivars/x",
        "/sys/class/block/sda/uevent",
        "/sys/bus/pci/rescan",
        "/proc/sysrq-trigger",
        "/mnt/some/proc/sysrq-trigger",
        "/sysrq-trigger",
        "/proc/bus/pci/00",
        "/proc/acpi/wakeup",
        "/dev/mem",
        "/dev/.lxc/proc/sys/kernel/panic",
        "/proc/kcore",
        "/proc/irq/1/smp_affinity",
    ],
)
def test_what_is_the_machines_is_not_written(path: str) -> None:
    assert refused(path, "w")


@pytest.mark.parametrize(
    "path",
    [
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/net/core/somaxconn",
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/domainname",
        "/proc/sys/kernel/shmmax",
        "/proc/sys/kernel/msgmax",
        "/proc/sys/kernel/sem",
        "/proc/sys/kernel/shm_rmid_forced",
        "/proc/sys/fs/mqueue/msg_max",
        "/proc/self/oom_score_adj",
        "/proc/1/uid_map",
        "/proc/self/attr/exec",
        "/sys/fs/cgroup/devices/docker/cgroup.procs",
        "/sys/fs/cgroup/cgroup.subtree_control",
        "/sys/class/net/eth0/mtu",
        "/sys/devices/virtual/net/docker0/bridge/hash_max",
        # As runc opens sysctls by a /proc that is mounted nowhere.
        "/sys/net/ipv4/ip_unprivileged_port_start",
        "/sys/kernel/shmmax",
        "/sys/fs/mqueue/msg_max",
        "/var/lib/docker/overlay2/x/merged/etc/hosts",
        "/etc/passwd",
        "/dev/null",
        "/dev/pts/0",
        "/run/docker.sock",
    ],
)
def test_what_containers_need_is_written(path: str) -> None:
    assert not refused(path, "w")


@pytest.mark.parametrize("path", ["/proc/kallsyms", "/proc/kpageflags", "/sys/kernel/debug/x", "/dev/kmem"])
def test_what_tells_of_the_machine_is_not_read(path: str) -> None:
    assert refused(path, "r")


@pytest.mark.parametrize(
    "path",
    [
        "/proc/sys/kernel/panic",
        "/proc/meminfo",
        "/sys/class/net/eth0/mtu",
        "/sys/fs/cgroup/cgroup.controllers",
        # runc looks at what it covers in containers.
        "/proc/acpi",
        "/proc/kcore",
        "/proc/timer_list",
        "/proc/scsi",
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
    ],
)
def test_what_runc_and_daemons_look_at_is_read(path: str) -> None:
    assert not refused(path, "r")


def test_every_rule_is_explained_by_a_comment_before_it() -> None:
    explained = False
    for line in TEXT.splitlines()[1:]:
        if line.strip().startswith("#"):
            explained = True
        elif not line.strip():
            explained = False
        else:
            assert explained or line == "}", line


def test_the_profile_grants_no_other_profile_and_no_capability_over_policies_or_modules() -> None:
    assert not [rule for rule in RULES if "change_profile" in rule or rule == "capability,"]
    granted = {word for rule in RULES if rule.startswith("capability ") for word in rule.strip(",").split()[1:]}
    never = {word for rule in RULES if rule.startswith("deny capability ") for word in rule.strip(",").split()[2:]}
    assert {"mac_admin", "sys_module", "sys_rawio", "sys_time", "syslog"} <= never
    assert not granted & never
    assert {"sys_admin", "net_admin", "setuid", "sys_boot"} <= granted


def test_a_profile_has_a_name_that_lxc_start_may_change_to_and_that_is_the_containers() -> None:
    assert profile_name("demo-web-1-abcdef") == "lxc-carina-demo-web-1-abcdef"
    assert f'profile "{profile_name("demo-web-1-abcdef")}" flags=' in TEXT
    assert profile_text("demo-web-2-abcdef") == TEXT.replace("demo-web-1-abcdef", "demo-web-2-abcdef")
