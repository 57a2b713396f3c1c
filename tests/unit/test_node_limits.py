"""A node's size as lines for its host."""

import pytest

from domain.sizes import Size
from drivers.node_limits import limits_text


def limits(size: Size) -> dict[str, str]:
    lines = [line.split(" = ") for line in limits_text(size).splitlines()]
    assert all(len(line) == 2 for line in lines)
    return dict(lines)


def test_a_node_without_a_size_has_no_limits() -> None:
    assert limits_text(Size()) == ""


def test_memory_is_limited_with_swap_on_both_versions_of_cgroups() -> None:
    found = limits(Size(memory_bytes=2**30))
    assert found["lxc.cgroup.memory.limit_in_bytes"] == found["lxc.cgroup2.memory.max"] == "1073741824"
    assert found["lxc.cgroup.memory.memsw.limit_in_bytes"] == "1073741824"
    assert found["lxc.cgroup2.memory.swap.max"] == "0"
    assert not {"cpus", "disk"} & found.keys()


def test_parts_of_a_cpu_are_a_quota_on_one_more() -> None:
    found = limits(Size(cpus=1.5))
    assert (found["lxc.cgroup.cpu.cfs_quota_us"], found["lxc.cgroup.cpu.cfs_period_us"]) == ("150000", "100000")
    assert found["lxc.cgroup2.cpu.max"] == "150000 100000"
    assert found["cpus"] == "2"
    assert not [name for name in found if "memory" in name]


def test_the_smallest_part_of_a_cpu_is_what_the_kernel_takes() -> None:
    assert limits(Size(cpus=0.001))["lxc.cgroup2.cpu.max"] == "1000 100000"


@pytest.mark.parametrize(
    ("size", "tasks"),
    [
        (Size(memory_bytes=2**28), "4096"),
        (Size(memory_bytes=2**32), "16384"),
        (Size(memory_bytes=2**36), "65536"),
        (Size(disk_bytes=2**30), "65536"),
    ],
)
def test_tasks_are_limited_by_memory_within_bounds(size: Size, tasks: str) -> None:
    found = limits(size)
    assert found["lxc.cgroup.pids.max"] == found["lxc.cgroup2.pids.max"] == tasks


def test_the_memory_limit_comes_before_that_with_swap() -> None:
    """The kernel refuses them the other way round: see memsw in cgroup-v1/memory.rst."""
    names = list(limits(Size(memory_bytes=2**30)))
    assert names.index("lxc.cgroup.memory.limit_in_bytes") < names.index("lxc.cgroup.memory.memsw.limit_in_bytes")


def test_a_disk_is_limited_in_bytes() -> None:
    assert limits(Size(disk_bytes=2**30))["disk"] == "1073741824"
