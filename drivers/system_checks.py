"""Judges what a host has besides its kernel: root, packages, settings, room, network, time. Pure."""

import json
from typing import Any

from domain.allocation import choose_claim
from domain.errors import NoAddressLeft
from domain.hosts import Check, CheckState
from domain.instance import Instance
from drivers.claims import networks_in_use, subid_range
from drivers.kernel_checks import Facts
from drivers.pool import SMALLEST_BYTES
from drivers.requirements import COMMANDS, COMMANDS_WITH_APPARMOR, COMMANDS_WITH_MODULES, SYSCTLS

OK, DEGRADED, MISSING = CheckState.OK, CheckState.DEGRADED, CheckState.MISSING
_LEAST_LXC = 5
_LEAST_MEMORY_BYTES = 2**30
_USUAL_MTU = 1500
_LEAST_MTU = 1280
_MOST_SKEW_S = 30.0
_GIB = 2**30
_DROPPING = (
    "Nodes may reach neither the outside nor each other. (Carina's own table keeps clusters apart all the same.)"
)


def system_checks(facts: Facts, instance: Instance, *, now_s: float) -> list[Check]:
    """Return the lines about all but the kernel, in the order in which they are read."""
    return [
        _root(facts),
        _packages(facts),
        _lxc(facts),
        _init(facts),
        _settings(facts),
        _claim(facts),
        _path(facts),
        _disk(facts),
        _memory(facts),
        _mtu(facts),
        _other_firewalls(facts, instance),
        _clock(facts, now_s),
    ]


def lowest_mtu(facts: Facts) -> int:
    """Return the lowest MTU, in bytes, of the interfaces that default routes lead through; 1500 without any."""
    devices = {route.get("dev") for route in _items(facts, "routes") if route.get("dst") == "default"}
    mtus = [int(link["mtu"]) for link in _items(facts, "links") if link.get("ifname") in devices]
    return min(mtus, default=_USUAL_MTU)


def _root(facts: Facts) -> Check:
    if facts.get("uid") == "0":
        return Check("root", OK, "yes")
    return Check("root", MISSING, f"uid {facts.get('uid')}", "Carina makes containers, bridges and mounts.", "sudo -i")


def _packages(facts: Facts) -> Check:
    wanted = dict(COMMANDS)
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
            "carinad up installs them.",
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
        return Check("LXC", DEGRADED, "not installed yet", "carinad up installs it.", "apt-get install lxc")
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
    return Check("init", OK, "not systemd: after a reboot, carinad up has to be started by other means")


def _settings(facts: Facts) -> Check:
    low = [
        f"{name}={least}"
        for name, least in SYSCTLS.items()
        if (now := facts.get(f"sysctl.{name}", "")).isdecimal() and int(now) < least
    ]
    if not low:
        return Check("kernel settings", OK, "high enough")
    return Check(
        "kernel settings",
        DEGRADED,
        f"too low; wanted: {' '.join(low)}",
        "Many nodes would use them up; carinad up raises them.",
        f"sysctl -w {' '.join(low)}",
    )


def _claim(facts: Facts) -> Check:
    if facts.get("claimed"):
        return Check("networks and uids", OK, "claimed by this instance")
    networks = networks_in_use(facts.get("routes", ""), facts.get("addresses", ""))
    ranges = [found for line in facts.get("subids", "").split() if (found := subid_range(line))]
    try:
        claim = choose_claim([network for network, _ in networks], ranges)
    except NoAddressLeft as error:
        return Check(
            "networks and uids",
            MISSING,
            error.detail,
            "Nodes need addresses and uids that nothing else on the host uses.",
            "Remove routes from 10.64.0.0/10, or lines from /etc/subuid and /etc/subgid, that nobody uses any more.",
        )
    return Check("networks and uids", OK, f"{claim.network} and {claim.uid_ranges} ranges of uids are free")


def _disk(facts: Facts) -> Check:
    pool, root = facts.get("pool.free", ""), facts.get("root.free", "")
    free = int(pool or root or 0)
    detail = f"{free / _GIB:.1f} GiB free {'in the pool' if pool else 'for the pool'}"
    if free >= SMALLEST_BYTES:
        return Check("disk", OK, detail)
    # An existing pool goes on working until it is full; a new one is not made.
    return Check(
        "disk",
        DEGRADED if pool else MISSING,
        f"{detail}; {SMALLEST_BYTES / _GIB:.0f} GiB are the least",
        "The node image and the nodes' images and volumes live there.",
        "Free some space, or choose a home on a larger file system: carinad up --home DIRECTORY",
    )


def _path(facts: Facts) -> Check:
    closed = facts.get("root.closed")
    if not closed:
        return Check("path", OK, "nodes can pass through to their disks")
    meaning = (
        "Nodes' users are nobody on the host: they start only where every directory above their disks lets them pass."
    )
    return Check("path", MISSING, f"{closed} lets only some users pass", meaning, f"chmod o+x {closed}")


def _memory(facts: Facts) -> Check:
    available = int(facts.get("memory.available") or 0)
    detail = f"{available / _GIB:.1f} GiB available"
    if available >= _LEAST_MEMORY_BYTES:
        return Check("memory", OK, detail)
    return Check("memory", DEGRADED, detail, "A node takes about 80 MB before it does any work.", "Add memory.")


def _mtu(facts: Facts) -> Check:
    mtu = lowest_mtu(facts)
    if mtu >= _LEAST_MTU:
        return Check("MTU", OK, f"{mtu} bytes towards the outside")
    return Check(
        "MTU",
        DEGRADED,
        f"{mtu} bytes towards the outside; {_LEAST_MTU} is sensible",
        "Overlay networks take 50 bytes more of each packet.",
        "ip link set dev INTERFACE mtu 1500  # the interface of the default route",
    )


def _other_firewalls(facts: Facts, instance: Instance) -> Check:
    """Find forward chains that drop by default. An accept in Carina's own table does not overrule them."""
    dropping = [
        f"{chain['family']} {chain['table']} {chain['name']}"
        for item in _items(facts, "chains", "nftables")
        if (chain := item.get("chain"))
        and chain.get("hook") == "forward"
        and chain.get("policy") == "drop"
        and chain.get("family") in {"ip", "inet"}
    ]
    legacy = facts.get("legacy.forward", "")
    if legacy.startswith("-P FORWARD DROP") and f"{instance.prefix}-br+" not in legacy:
        return Check(
            "other firewalls",
            DEGRADED,
            "forwarded packets are dropped by default: iptables-legacy FORWARD",
            _DROPPING,
            "; ".join(f"iptables-legacy -I FORWARD {way} {instance.prefix}-br+ -j ACCEPT" for way in ("-i", "-o")),
        )
    if not dropping or facts.get("rules.mention", "0") != "0":
        return Check("other firewalls", OK, "none that drops what nodes send")
    commands = [
        f"nft insert rule {chain} {direction} '\"{instance.prefix}-br*\"' accept"
        for chain in dropping
        for direction in ("iifname", "oifname")
    ]
    return Check(
        "other firewalls",
        DEGRADED,
        f"forwarded packets are dropped by default: {', '.join(dropping)}",
        _DROPPING,
        "; ".join(commands),
    )


def _clock(facts: Facts, now_s: float) -> Check:
    skew = abs(int(facts.get("now") or 0) - now_s)
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
    return Check("clock", OK, "agrees")


def _items(facts: Facts, name: str, member: str = "") -> list[dict[str, Any]]:
    document = json.loads(facts.get(name) or "[]")
    found: list[dict[str, Any]] = document.get(member, []) if isinstance(document, dict) else document
    return found
