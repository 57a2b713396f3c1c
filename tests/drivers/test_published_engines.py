"""A swarm of nodes on hosts that publish ports: all that is asked of their engines goes through those."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from conftest import RealHost
from docker_nodes import DockerNodes, docker_nodes
from forwarder import connections, published

from domain.errors import OverlayFailed
from domain.overlays import Overlay
from drivers import swarm_images
from drivers.docker_client import DOCKER_PORT, Engines
from drivers.pki import CertificatePki
from drivers.swarm import Swarm

OVERLAY = Overlay("carina", "10.48.0.0/24", 1450)
IMAGE = "carina/probe:1"


@pytest_asyncio.fixture
async def nodes(real_host: RealHost) -> AsyncIterator[DockerNodes]:
    async with docker_nodes(real_host) as made:
        yield made


async def test_a_swarm_is_made_used_and_left_through_published_ports(nodes: DockerNodes, tmp_path: Path) -> None:
    swarm = Swarm(CertificatePki(), patience_s=10)
    with published(nodes.members, DOCKER_PORT) as members, connections() as seen:
        manager, *workers = members
        await swarm.form(manager, nodes.access)
        await asyncio.gather(*(swarm.join(manager, worker, nodes.access) for worker in workers))
        assert await swarm.health(manager, nodes.access) == {member.name: True for member in members}

        await swarm.ensure_overlay(members, OVERLAY, nodes.access)
        await swarm.verify(members, OVERLAY, nodes.access)
        with Engines(nodes.access) as engines:
            busy = engines.at(workers[0])
            archive = tmp_path / "probe.tar"
            archive.write_bytes(b"".join(busy.get_image(IMAGE)))
            swarm_images.load(engines, workers[1], archive)
            config = {
                "Image": IMAGE,
                "Entrypoint": ["/bin/busybox", "sleep", "600"],
                "HostConfig": {"NetworkMode": OVERLAY.name, "Binds": ["/bin/busybox:/bin/busybox:ro"]},
            }
            busy.create_container_from_config(config, name="web")
            busy.start("web")
            with pytest.raises(OverlayFailed, match=f"in use by container web on {workers[0].name}"):
                await swarm.remove_overlay(members, OVERLAY.name, nodes.access)
            busy.remove_container("web", force=True)
            addresses = {entry["Status"]["Addr"] for entry in engines.at(manager).nodes()}
        await swarm.remove_overlay(members, OVERLAY.name, nodes.access)
        for worker in workers:
            await swarm.drain(manager, worker, nodes.access)
            await swarm.leave(manager, worker, nodes.access)
        assert await swarm.health(manager, nodes.access) == {manager.name: True}
    swarm.close()
    assert addresses == {member.address for member in nodes.members}
    assert {host for host, _ in seen} == {"127.0.0.1"}
