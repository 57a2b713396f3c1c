"""Judges what room a host has for nodes, and whether what they use of it can be limited and shown to them. Pure."""

import math

from domain.hosts import Check, CheckState
from domain.sizes import Size
from drivers.kernel_checks import Facts
from drivers.pool import LARGEST_BYTES, SHARE_PERCENT, SMALLEST_BYTES

OK, DEGRADED, MISSING = CheckState.OK, CheckState.DEGRADED, CheckState.MISSING
_LEAST_MEMORY_BYTES = 2**30
_GIB = 2**30
_BUSY_LOAD = 2
"""A host with more runnable processes than this for each CPU is short of them."""


def capacity_checks(facts: Facts) -> list[Check]:
    """Return the lines about room, in the order in which they are read."""
    return [_cpus(facts), _memory(facts), _disk(facts), _quota(facts), _lxcfs(facts)]


def total_size(facts: Facts) -> Size:
    """Return what the host has. Its disk is the pool, or what a pool made now would be."""
    return Size(
        cpus=float(_number(facts, "cpus")),
        memory_bytes=_number(facts, "memory.total"),
        disk_bytes=_number(facts, "pool.total") or _future_pool(facts),
    )


def free_size(facts: Facts) -> Size:
    """Return what of it nobody uses now. A CPU is free when the average load of the last minute leaves it so."""
    disk = _future_pool(facts)
    if facts.get("pool.free"):
        disk = _number(facts, "pool.free")
        if facts.get("pool.kind") == "file":  # a sparse one takes its blocks from the file system below
            disk = min(disk, _number(facts, "root.free"))
    return Size(
        cpus=round(max(0.0, _number(facts, "cpus") - _load(facts)), 2),
        memory_bytes=_number(facts, "memory.available"),
        disk_bytes=disk,
    )


def quotas_work(facts: Facts) -> bool:
    """Whether nodes' disks can be limited: the kernel can, and the pool's file system has quotas or may have them."""
    able = _simple_quotas(facts) or facts.get("try.quota") == "ok" or bool(facts.get("pool.quota"))
    return able and (facts.get("pool.kind") != "shared" or bool(facts.get("pool.quota")))


def _simple_quotas(facts: Facts) -> bool:
    """Whether the kernel has them: tried, or, where nothing could be tried on, by its own word."""
    return (facts.get("try.simple_quota") or ("ok" if facts.get("btrfs.simple") else "")) == "ok"


def lxcfs_works(facts: Facts) -> bool:
    """Whether nodes with a size can be shown it as their memory and CPUs."""
    return facts.get("lxcfs") == "mounted" or (not facts.get("lxcfs") and facts.get("try.lxcfs") == "ok")


def _future_pool(facts: Facts) -> int:
    if facts.get("device.bytes"):
        return _number(facts, "device.bytes")
    free = _number(facts, "root.free")
    if facts.get("root.filesystem") == "btrfs":
        return free
    return min(max(free // 100 * SHARE_PERCENT, min(SMALLEST_BYTES, free)), LARGEST_BYTES)


def _cpus(facts: Facts) -> Check:
    cpus, load = _number(facts, "cpus"), _load(facts)
    detail = f"{cpus}, of which {max(0.0, cpus - load):.1f} free"
    if cpus and load <= _BUSY_LOAD * cpus:
        return Check("CPUs", OK, detail)
    meaning = "Nodes get ready slowly, and managers of busy clusters may lose their lead."
    return Check("CPUs", DEGRADED, f"{detail}: the load is {load:.1f}", meaning, "top  # shows what takes them")


def _memory(facts: Facts) -> Check:
    available = _number(facts, "memory.available")
    detail = f"{available / _GIB:.1f} of {_number(facts, 'memory.total') / _GIB:.1f} GiB available"
    if available >= _LEAST_MEMORY_BYTES:
        return Check("memory", OK, detail)
    return Check("memory", DEGRADED, detail, "A node takes about 80 MB before it does any work.", "Add memory.")


def _disk(facts: Facts) -> Check:
    pool, device = facts.get("pool.free", ""), facts.get("device.bytes", "")
    free = int(pool or device or facts.get("root.free") or 0)
    where = "free in the pool" if pool else "on the device for the pool" if device else "free for the pool"
    detail = f"{free / _GIB:.1f} GiB {where}"
    if facts.get("device") and not device and not pool:
        return Check(
            "disk",
            MISSING,
            f"{facts['device']} is no block device",
            "The storage pool was to be made on it.",
            "lsblk  # names those that there are; then add the host with one of them, or with none",
        )
    if free >= SMALLEST_BYTES:
        return Check("disk", OK, detail)
    # An existing pool goes on working until it is full; a new one is not made.
    return Check(
        "disk",
        DEGRADED if pool else MISSING,
        f"{detail}; {SMALLEST_BYTES / _GIB:.0f} GiB are the least",
        "The node image and the nodes' images and volumes live there.",
        "Free some space, or give the pool a larger file system or a device of its own.",
    )


def _quota(facts: Facts) -> Check:
    kind = facts.get("pool.quota", "")
    if kind == "squota":
        return Check("disk quota", OK, "simple quotas, on")
    if not quotas_work(facts):
        shared = facts.get("pool.kind") == "shared"
        said = facts.get("try.quota") or facts.get("try.simple_quota")
        return Check(
            "disk quota",
            DEGRADED,
            "off, on a file system that is not Carina's alone"
            if shared
            else f"tried: {said}"
            if said
            else "could not be tried",
            "Nodes' disks have no limit: one that fills up fills the pool for all.",
            "btrfs quota enable --simple POOL  # Linux 6.7 and btrfs-progs 6.7; without --simple on older ones",
        )
    if _simple_quotas(facts) and not kind:
        return Check("disk quota", OK, "simple quotas work; the first node with a limit turns them on")
    return Check(
        "disk quota",
        DEGRADED,
        "full quotas only" if not kind else "full quotas are on",
        "A subvolume that somebody makes inside a node is not counted, and writes cost more with many nodes.",
        "A kernel with simple quotas has neither flaw: Linux 6.7 or newer.",
    )


def _lxcfs(facts: Facts) -> Check:
    if facts.get("lxcfs") == "mounted":
        return Check("lxcfs", OK, "runs")
    meaning = "Nodes with a size have its limits, but see the host's memory and CPUs as theirs."
    if facts.get("lxcfs") == "dead":
        return Check(
            "lxcfs",
            DEGRADED,
            "it ended, and left its mount behind",
            f"{meaning} Nodes that used it have no /proc/meminfo until they are started again.",
            "umount --lazy /var/lib/lxcfs && systemctl restart lxcfs",
        )
    if lxcfs_works(facts):
        return Check("lxcfs", OK, "tried, works; the first node with a size starts it")
    said = facts.get("try.lxcfs")
    return Check("lxcfs", DEGRADED, f"tried: {said}" if said else "not installed", meaning, "apt-get install lxcfs")


def _load(facts: Facts) -> float:
    first = (facts.get("load") or "0").split()[0]
    return float(first) if first.replace(".", "", 1).isdecimal() else math.inf


def _number(facts: Facts, name: str) -> int:
    return int(facts.get(name) or 0)
