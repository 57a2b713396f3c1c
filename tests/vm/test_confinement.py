"""A node under its AppArmor profile, enforced by the kernel."""

import re
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nodes_help import in_node, plan_node
from realhost import READY_TIMEOUT_S, RealHost

from domain.nodes import NodePlan
from drivers.image_recipe import PROBE_IMAGE
from drivers.lxc import LxcNodes

AF_ALG, SOCK_SEQPACKET = 38, 5


@pytest.fixture(scope="module")
async def node(real_host: RealHost, node_image: str) -> AsyncIterator[NodePlan]:
    """A node that runs."""
    plan = plan_node(real_host, node_image)
    nodes = LxcNodes(ready_timeout_s=READY_TIMEOUT_S)
    await nodes.ensure(plan, [])
    yield plan
    await nodes.remove(plan.host, plan.container)
    assert f"lxc-carina-{plan.container}" not in loaded()


async def said(real_host: RealHost, node: NodePlan, command: str) -> str:
    """Return what a command in the node says that may fail."""
    return await in_node(real_host, node, "bash", "-c", f"{{ {command}; }} 2>&1; true")


def loaded() -> str:
    return Path("/sys/kernel/security/apparmor/profiles").read_text()


def kernel_log() -> str:
    return subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout


async def test_all_processes_of_a_node_are_under_its_profile(real_host: RealHost, node: NodePlan) -> None:
    profile = f"lxc-carina-{node.container} (enforce)"
    assert await in_node(real_host, node, "cat", "/proc/1/attr/current") == f"{profile}\n"
    assert profile in loaded()


async def test_a_kind_of_socket_that_nodes_do_not_need_is_refused_and_logged(
    real_host: RealHost, node: NodePlan
) -> None:
    socket.socket(AF_ALG, SOCK_SEQPACKET).close()  # the machine itself may: nothing but the profile is in the way
    tried = f"perl -e 'socket(my $s, {AF_ALG}, {SOCK_SEQPACKET}, 0) or die $!'"
    assert "Permission denied" in await said(real_host, node, tried)
    denied = rf'apparmor="DENIED" operation="create".* profile="lxc-carina-{node.container}".* family="alg"'
    assert re.search(denied, kernel_log())


@pytest.mark.parametrize("kind", ["binfmt_misc", "bpf", "fuse", "tracefs"])
async def test_file_systems_that_are_not_a_nodes_own_are_refused(
    real_host: RealHost, node: NodePlan, kind: str
) -> None:
    """By mount(2). The calls that came after it tell AppArmor no type; there the kernel itself has to refuse."""
    tried = f"mkdir -p /tmp/point; /bin/busybox mount -t {kind} none /tmp/point"
    assert "ermission denied" in await said(real_host, node, tried)


@pytest.mark.parametrize("path", ["/proc/sysrq-trigger", "/proc/sys/kernel/panic", "/proc/sys/vm/swappiness"])
async def test_what_acts_on_the_machine_is_not_written(real_host: RealHost, node: NodePlan, path: str) -> None:
    assert "denied" in await said(real_host, node, f"echo 0 > {path}")


async def test_containers_run_in_it_and_set_sysctls_of_their_own(real_host: RealHost, node: NodePlan) -> None:
    sysctl = ("--sysctl", "net.ipv4.ip_unprivileged_port_start=80")
    told = await in_node(
        real_host, node, "docker", "run", "--rm", "--network", "none", *sysctl, PROBE_IMAGE,
        "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start",
    )  # fmt: skip
    assert told == "80\n"


async def test_no_unit_of_the_node_fails_under_it(real_host: RealHost, node: NodePlan) -> None:
    assert "0 loaded units" in await in_node(real_host, node, "systemctl", "--failed", "--no-pager")
