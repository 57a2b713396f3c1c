"""A node's size as the limits that its host sets. Pure text; which of them the host can set is found out there."""

import math

from domain.sizes import Size

_PERIOD_US = 100_000
"""Over which CPU time is counted: the kernel's own default."""

_BYTES_PER_TASK = 256 * 1024
_LEAST_TASKS = 4096
_MOST_TASKS = 65536


def limits_text(size: Size) -> str:
    """Return the lines that limit a node to `size`, empty for one without limits.

    Those named `lxc.*` are for the container's config, for cgroup v1 (lxc.cgroup) and v2 (lxc.cgroup2): see
    lxc.container.conf(5), and in the kernel's documentation cgroup-v1/memory.rst, cgroup-v2.rst and sched-bwc.rst.
    Memory is limited with swap, so that a node has as much as it says, and no more. `cpus` is how many of the host's
    CPUs the node may run on, `disk` how many bytes it may write.
    """
    if size == Size():
        return ""
    lines: list[tuple[str, object]] = []
    if size.memory_bytes:
        lines += [
            ("lxc.cgroup.memory.limit_in_bytes", size.memory_bytes),
            ("lxc.cgroup.memory.memsw.limit_in_bytes", size.memory_bytes),
            ("lxc.cgroup2.memory.max", size.memory_bytes),
            ("lxc.cgroup2.memory.swap.max", 0),
        ]
    if size.cpus:
        quota_us = max(1000, round(size.cpus * _PERIOD_US))  # less than 1 ms is refused
        lines += [
            ("lxc.cgroup.cpu.cfs_period_us", _PERIOD_US),
            ("lxc.cgroup.cpu.cfs_quota_us", quota_us),
            ("lxc.cgroup2.cpu.max", f"{quota_us} {_PERIOD_US}"),
            ("cpus", math.ceil(size.cpus)),
        ]
    lines += [("lxc.cgroup.pids.max", _tasks(size)), ("lxc.cgroup2.pids.max", _tasks(size))]
    if size.disk_bytes:
        lines.append(("disk", size.disk_bytes))
    return "".join(f"{name} = {value}\n" for name, value in lines)


def _tasks(size: Size) -> int:
    """Return how many processes and threads a node may have: they use up the host's numbers, not only memory."""
    if not size.memory_bytes:
        return _MOST_TASKS
    return min(max(size.memory_bytes // _BYTES_PER_TASK, _LEAST_TASKS), _MOST_TASKS)
