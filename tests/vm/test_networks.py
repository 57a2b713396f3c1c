"""What a Swarm can do on a kernel with IPVS and ESP: virtual addresses, the ingress mesh, encrypted overlays."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from docker_nodes import DockerNodes, docker_nodes
from realhost import RealHost

from domain.hosts import CAP_ESP, CAP_IPVS, CheckState
from domain.overlays import Overlay, overlay_mtu
from drivers.hosts import LinuxHosts
from drivers.image_recipe import PROBE_IMAGE
from drivers.pki import CertificatePki
from drivers.shell import shell_of
from drivers.swarm import Swarm

PAGE = "it works"
WEB = ["sh", "-c", f"mkdir -p /www && echo {PAGE} > /www/index.html && exec httpd -f -p 8080 -h /www"]
SEGMENT_MTU = 1500
OPEN = Overlay("open", "10.48.1.0/24", overlay_mtu(SEGMENT_MTU, encrypted=False))
SECRET = Overlay("secret", "10.48.2.0/24", overlay_mtu(SEGMENT_MTU, encrypted=True), encrypted=True)
PATIENCE_S = 240.0


@pytest.fixture(scope="module")
async def nodes(real_host: RealHost) -> AsyncIterator[DockerNodes]:
    """Three nodes in a swarm."""
    async with docker_nodes(real_host) as made:
        swarm = Swarm(CertificatePki())
        manager, *workers = made.members
        await swarm.form(manager, made.access)
        for worker in workers:
            await swarm.join(manager, worker, made.access)
        swarm.close()
        yield made


@pytest.fixture(scope="module")
def swarm() -> Iterator[Swarm]:
    driver = Swarm(CertificatePki())
    yield driver
    driver.close()


@pytest.fixture(scope="module")
async def web(nodes: DockerNodes, swarm: Swarm) -> str:
    """A service of two replicas with a virtual address on an overlay network, published through the ingress mesh."""
    await swarm.ensure_overlay(nodes.members, OPEN, nodes.access)
    await swarm.verify(nodes.members, OPEN, nodes.access)
    nodes.run(
        nodes.members[0], "docker", "service", "create", "--detach", "--name", "web", "--replicas", "2",
        "--network", OPEN.name, "--publish", "8080:8080", "--no-resolve-image", PROBE_IMAGE, *WEB,
    )  # fmt: skip
    return "web"


async def said(command: tuple[str, ...]) -> str:
    """Run a command, and return what it printed."""
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


async def eventually(command: tuple[str, ...], wanted: str) -> None:
    """Run a command until it prints what is wanted."""
    deadline = time.monotonic() + PATIENCE_S
    while wanted not in (output := await said(command)):
        assert time.monotonic() < deadline, f"{command}: {output}"
        await asyncio.sleep(1)


def attached(nodes: DockerNodes, index: int, *command: str) -> tuple[str, ...]:
    plan = nodes.plans[index]
    return ("lxc-attach", "-P", f"{plan.host.root}/pool/nodes", "-n", plan.container, "--", *command)


async def test_the_report_tells_of_a_kernel_of_our_time(real_host: RealHost) -> None:
    report = await LinuxHosts(real_host.instance, shell_of).measure(real_host.host)
    assert CAP_ESP in report.capabilities
    assert report.cgroup_version == 2
    assert [check.name for check in report.checks if check.state is CheckState.MISSING] == []
    assert [check.state for check in report.checks if check.name == "AppArmor"] == [CheckState.OK]


async def test_an_encrypted_overlay_carries_traffic_in_esp_alone(
    real_host: RealHost, nodes: DockerNodes, swarm: Swarm
) -> None:
    """As long as there is no other overlay network, whose packets would be seen too."""
    await swarm.ensure_overlay(nodes.members, SECRET, nodes.access)
    watch = await asyncio.create_subprocess_exec(
        "tcpdump", "-n", "-i", real_host.segment.bridge, "-c", "200", "esp or udp port 4789",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    await asyncio.sleep(3)
    await swarm.verify(nodes.members, SECRET, nodes.access)
    with contextlib.suppress(ProcessLookupError):  # it ends by itself after so many packets
        watch.terminate()
    seen = (await watch.communicate())[0].decode().splitlines()
    assert [line for line in seen if "ESP(spi=" in line]
    assert [line for line in seen if ".4789" in line] == []


async def test_virtual_addresses_and_the_mesh_answer_where_the_report_says_so(
    real_host: RealHost, nodes: DockerNodes, web: str
) -> None:
    report = await LinuxHosts(real_host.instance, shell_of).measure(real_host.host)
    ask = ("docker", "run", "--rm", "--network", OPEN.name, PROBE_IMAGE, "wget", "-q", "-T", "5", "-O", "-")
    for index, member in enumerate(nodes.members):
        await eventually(attached(nodes, index, *ask, f"http://tasks.{web}:8080/"), PAGE)
        virtual = attached(nodes, index, *ask, f"http://{web}:8080/")
        mesh = ("curl", "-s", "--max-time", "5", f"http://{member.address}:8080/")
        if CAP_IPVS in report.capabilities:
            await eventually(virtual, PAGE)
            await eventually(mesh, PAGE)
        else:
            assert PAGE not in (await said(virtual)) + (await said(mesh))
