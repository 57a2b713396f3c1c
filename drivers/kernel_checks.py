"""Judges what a host's kernel can do, from gathered facts. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.hosts import Check, CheckState

CAP_CGROUP2 = "cgroup2"
"""The host has the unified cgroup hierarchy (cgroups(7))."""

OK, DEGRADED, MISSING = CheckState.OK, CheckState.DEGRADED, CheckState.MISSING
_LEAST_KERNEL = (5, 15)
_LIMITING = ("cpu", "cpuset", "memory", "pids")
_DISTRIBUTION_KERNEL = "apt-get install linux-image-$(dpkg --print-architecture)  # then reboot into it"

Facts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Trial:
    """Something that was tried. `needs` are the commands without which it can't be tried."""

    fact: str
    name: str
    meaning: str
    remedy: str
    needs: Sequence[str] = ()


_TRIALS = (
    _Trial("overlay", "overlayfs", "Docker in nodes has no storage driver without it.", "modprobe overlay"),
    _Trial(
        "btrfs",
        "btrfs",
        "Nodes are btrfs snapshots of the node image.",
        "modprobe -a btrfs loop  # or put the home on a btrfs file system",
        ("mkfs.btrfs",),
    ),
    _Trial(
        "idmap",
        "idmapped mounts",
        "A node's files belong to its own uid range by an idmapped mount: without it no node starts.",
        _DISTRIBUTION_KERNEL,
        ("mkfs.btrfs",),
    ),
    _Trial(
        "userns",
        "user namespaces",
        "Nodes are unprivileged containers: without user namespaces no node starts.",
        "sysctl -w user.max_user_namespaces=65536",
    ),
    _Trial("bridge", "bridge and veth", "Nodes have no network without them.", "modprobe -a bridge veth", ("ip",)),
    _Trial("vxlan", "VXLAN", "Overlay networks between nodes are made of it.", "modprobe vxlan", ("ip",)),
    _Trial(
        "firewall",
        "nftables",
        "Clusters are kept apart, and reach the outside, by nftables rules.",
        "modprobe -a nf_tables nft_chain_nat nft_masq nft_ct",
        ("nft",),
    ),
)


def kernel_checks(facts: Facts) -> list[Check]:
    """Return the lines about the kernel, in the order in which they are read."""
    return [
        _kernel(facts),
        _cgroups(facts),
        *(_tried(trial, facts) for trial in _TRIALS),
        _loop(facts),
        _seccomp(facts),
        _container(facts),
        _ipvs(facts),
        _esp(facts),
        _apparmor(facts),
    ]


def cgroup_version(facts: Facts) -> int:
    """Return 2 for the unified hierarchy, 1 for the older or the hybrid one."""
    return 2 if facts.get("cgroup.type") == "cgroup2fs" else 1


def lacking_controllers(facts: Facts) -> list[str]:
    """Return the names of the controllers that limit nodes and are not there."""
    return [name for name in _LIMITING if name not in _controllers(facts)]


def _controllers(facts: Facts) -> list[str]:
    unified = cgroup_version(facts) == 2  # noqa: PLR2004 - the version's own number
    return facts.get("cgroup.v2" if unified else "cgroup.v1", "").replace(",", " ").split()


def _kernel(facts: Facts) -> Check:
    release = facts.get("kernel", "")
    numbers = re.match(r"(\d+)\.(\d+)", release)
    if numbers and (int(numbers[1]), int(numbers[2])) >= _LEAST_KERNEL:
        return Check("kernel", OK, release)
    least = ".".join(str(number) for number in _LEAST_KERNEL)
    return Check(
        "kernel",
        MISSING,
        f"{release or 'unknown'}; {least} is the least",
        "btrfs has idmapped mounts from then on, and nodes live on them.",
        _DISTRIBUTION_KERNEL,
    )


def _cgroups(facts: Facts) -> Check:
    version = cgroup_version(facts)
    there = _controllers(facts)
    detail = (
        f"version {version}, with {' '.join(name for name in ('devices', *_LIMITING) if name in there) or 'nothing'}"
    )
    if version == 1 and "devices" not in there:
        return Check(
            "cgroups",
            MISSING,
            f"{detail}; devices is not mounted",
            "Docker in nodes starts no container without it.",
            "mkdir -p /sys/fs/cgroup/devices && mount -t cgroup -o devices cgroup /sys/fs/cgroup/devices",
        )
    lacking = lacking_controllers(facts)
    if lacking:
        return Check(
            "cgroups",
            DEGRADED,
            f"{detail}; lacks {' '.join(lacking)}",
            "Limits of that kind on nodes and on their containers have no effect.",
            "Boot with cgroup_enable=memory on the kernel's command line.",
        )
    return Check("cgroups", OK, detail)


def _tried(trial: _Trial, facts: Facts) -> Check:
    said = facts.get(f"try.{trial.fact}", "")
    lacking = [name for name in trial.needs if not facts.get(f"command.{name}")]
    if said == "ok":
        return Check(trial.name, OK, "tried, works")
    if trial.fact == "btrfs" and facts.get("root.filesystem") == "btrfs":
        return Check(trial.name, OK, "the instance's directory lies on it")
    if lacking:
        # Preparing the host installs the command, and measures again.
        return Check(trial.name, DEGRADED, f"can't be tried without {' '.join(lacking)}", trial.meaning)
    if facts.get("uid") != "0":
        return Check(trial.name, DEGRADED, "only root can try it", trial.meaning)
    return Check(trial.name, MISSING, f"tried: {said}" if said else "could not be tried", trial.meaning, trial.remedy)


def _loop(facts: Facts) -> Check:
    if facts.get("loop"):
        return Check("loop devices", OK, f"{facts['loop']} is free")
    if facts.get("pool.free") or facts.get("root.filesystem") == "btrfs" or facts.get("device.bytes"):
        return Check("loop devices", OK, "none is free, and none is needed: the pool is no file")
    return Check(
        "loop devices",
        DEGRADED if facts.get("uid") != "0" else MISSING,
        "none is free",
        "The storage pool is a file that is mounted through one, unless it has a device or a btrfs of its own.",
        "modprobe loop  # or name a block device for the pool when the host is added",
    )


def _seccomp(facts: Facts) -> Check:
    if facts.get("trial.seccomp") == "2":
        return Check("seccomp", OK, "tried, filters system calls of containers")
    if "errno" in facts.get("seccomp", "").split():
        return Check("seccomp", OK, "in the kernel")
    return Check(
        "seccomp",
        DEGRADED,
        "not in the kernel",
        "Nodes, and containers in them, may make any system call. What an image needs it for does not start.",
        _DISTRIBUTION_KERNEL,
    )


def _container(facts: Facts) -> Check:
    name, said = "nested containers", facts.get("try.container", "")
    meaning = "A container in a node is not started: neither Docker nor Kubernetes works."
    if said == "ok":
        return Check(name, OK, "tried in an unprivileged container: overlay, control groups, namespaces work")
    if not facts.get("command.lxc-start"):
        # Preparing the host installs it, and measures again.
        return Check(name, DEGRADED, "can't be tried without lxc-start", meaning)
    if facts.get("uid") != "0":
        return Check(name, DEGRADED, "only root can try it", meaning)
    return Check(
        name,
        MISSING,
        f"tried in an unprivileged container: {said}" if said else "could not be tried",
        meaning,
        "lxc-checkconfig  # says what the kernel lacks; on a virtual or nested host, let it nest containers",
    )


def _ipvs(facts: Facts) -> Check:
    if facts.get("try.ipvs") == "ok":
        return Check("IPVS", OK, "tried: nodes may use it")
    meaning = (
        "Swarm services answer only with --endpoint-mode dnsrr, ports only with --publish mode=host; else they hang."
    )
    there = facts.get("ipvs", "")
    if there == "loaded":
        said = f"in the kernel, and refused to nodes: {facts.get('try.ipvs') or 'could not be tried'}"
        remedy = "# a kernel that lets user namespaces set IPVS up; Linux 6.12 and 7.3 don't"
        return Check("IPVS", DEGRADED, said, meaning, remedy)
    said = "loadable: tried once the host is prepared" if there else "not in the kernel"
    return Check("IPVS", DEGRADED, said, meaning, "modprobe ip_vs  # or a kernel that has it: Debian's own does")


def _esp(facts: Facts) -> Check:
    said = facts.get("try.esp", "")
    if said == "ok":
        return Check("ESP", OK, "tried, works")
    return Check(
        "ESP",
        DEGRADED,
        f"tried: {said}" if said else "could not be tried",
        "Encrypted overlay networks would carry nothing, so they are refused.",
        "modprobe -a esp4 xfrm_user gcm  # or a kernel that has them: Debian's own does",
    )


def _apparmor(facts: Facts) -> Check:
    if facts.get("apparmor") and facts.get("apparmor.loads"):
        return Check("AppArmor", OK, "on: each node has a profile of its own")
    if facts.get("apparmor"):
        return Check(
            "AppArmor",
            DEGRADED,
            "on, but no profile can be loaded",
            "Nodes are confined by their user namespace, and by what confines the host itself.",
            "mount -t securityfs securityfs /sys/kernel/security  # unless the host is a container itself",
        )
    return Check(
        "AppArmor",
        DEGRADED,
        "off",
        "Nodes are confined by their user namespace alone.",
        "apt-get install apparmor  # and boot with apparmor=1 security=apparmor",
    )
