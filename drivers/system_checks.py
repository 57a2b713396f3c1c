"""Judges what a host has besides its kernel, its network and its room: root, packages, settings, time. Pure."""

from domain.hosts import Check, CheckState
from drivers.kernel_checks import Facts
from drivers.requirements import COMMANDS, COMMANDS_TO_BUILD, COMMANDS_WITH_APPARMOR, COMMANDS_WITH_MODULES, SYSCTLS

OK, DEGRADED, MISSING = CheckState.OK, CheckState.DEGRADED, CheckState.MISSING
_LEAST_LXC = 5
_MOST_SKEW_S = 30.0


def system_checks(facts: Facts, *, now_s: float, took_s: float = 0.0) -> list[Check]:
    """Return the lines about what is installed and set, in the order in which they are read.

    The host's clock was read in the `took_s` seconds that began at `now_s`.
    """
    return [
        _root(facts),
        _packages(facts),
        _lxc(facts),
        _init(facts),
        _settings(facts),
        _path(facts),
        _clock(facts, now_s, took_s),
    ]


def _root(facts: Facts) -> Check:
    if facts.get("uid") == "0":
        return Check("root", OK, "yes")
    return Check("root", MISSING, f"uid {facts.get('uid')}", "Carina makes containers, bridges and mounts.", "sudo -i")


def _packages(facts: Facts) -> Check:
    # What nobody has looked for is not needed there.
    wanted = {**COMMANDS, **{name: of for name, of in COMMANDS_TO_BUILD.items() if f"command.{name}" in facts}}
    if facts.get("apparmor"):
        wanted |= COMMANDS_WITH_APPARMOR
    if facts.get("modules"):
        wanted |= COMMANDS_WITH_MODULES
    missing = [package for command, package in wanted.items() if not facts.get(f"command.{command}")]
    if not missing:
        return Check("packages", OK, "all there")
    names = " ".join(missing)
    if facts.get("apt"):
        return Check(
            "packages",
            DEGRADED,
            f"missing: {names}",
            "Preparing the host installs them.",
            f"apt-get install --no-install-recommends {names}",
        )
    return Check(
        "packages",
        MISSING,
        f"missing: {names}; there is no apt-get",
        "Nodes can't be made without them.",
        f"Install what Debian calls {names} by the means of this distribution.",
    )


def _lxc(facts: Facts) -> Check:
    version = facts.get("lxc", "")
    major = version.partition(".")[0]
    if not version:
        return Check("LXC", DEGRADED, "not installed yet", "Preparing the host installs it.", "apt-get install lxc")
    if major.isdecimal() and int(major) >= _LEAST_LXC:
        return Check("LXC", OK, version)
    return Check(
        "LXC",
        MISSING,
        f"{version}; {_LEAST_LXC}.0 is the least",
        "Older ones can't idmap a node's root file system.",
        "apt-get install lxc  # on Debian 12 or newer",
    )


def _init(facts: Facts) -> Check:
    if facts.get("systemd"):
        return Check("init", OK, "systemd")
    return Check("init", OK, "not systemd: after a reboot the service brings networks and nodes back, while it runs")


def _settings(facts: Facts) -> Check:
    low = [
        f"{name}={least}"
        for name, least in SYSCTLS.items()
        if (now := facts.get(f"sysctl.{name}", "")).isdecimal() and int(now) < least
    ]
    if not low:
        return Check("kernel settings", OK, "inotify, keys and forwarding are set high enough")
    return Check(
        "kernel settings",
        DEGRADED,
        f"too low; wanted: {' '.join(low)}",
        "Many nodes would use them up; preparing the host raises them.",
        f"sysctl -w {' '.join(low)}",
    )


def _path(facts: Facts) -> Check:
    closed = facts.get("root.closed")
    if not closed:
        return Check("path", OK, "nodes can pass through to their disks")
    meaning = (
        "Nodes' users are nobody on the host: they start only where every directory above their disks lets them pass."
    )
    return Check("path", MISSING, f"{closed} lets only some users pass", meaning, f"chmod o+x {closed}")


def _clock(facts: Facts, now_s: float, took_s: float) -> Check:
    theirs = float(facts.get("now") or 0)
    skew = max(now_s - theirs, theirs - now_s - took_s, 0.0)
    if skew > _MOST_SKEW_S:
        return Check(
            "clock",
            DEGRADED,
            f"{skew:.0f} s apart from this machine's",
            "Certificates are not valid yet, or no longer, in the eyes of nodes.",
            "timedatectl set-ntp true",
        )
    if facts.get("synchronized") == "no":
        return Check(
            "clock", DEGRADED, "not synchronized", "It may drift away from clients' clocks.", "timedatectl set-ntp true"
        )
    return Check("clock", OK, f"agrees to {max(skew, took_s):.1f} s")
