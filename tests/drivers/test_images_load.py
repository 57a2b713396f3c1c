"""Container images on real nodes: into their Docker Engines, and into their containerd as Kubernetes nodes have it.

The containerd is that of the same nodes. A kubelet's namespace in it is as empty as that of a new Kubernetes node.
"""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import pytest
import pytest_asyncio
from conftest import RealHost
from docker_nodes import DockerNodes, docker_nodes, until
from image_archives_help import TestImage, busybox_image, cut, docker_archive, oci_archive

from domain.errors import CarinaError, CommandFailed, DockerSilent, ImageLoadFailed
from drivers import container_images
from drivers.docker_client import Engines
from drivers.image_archives import read
from drivers.pki import CertificatePki
from drivers.shell import LocalShell
from drivers.swarm import Swarm

MEBIBYTE = 2**20
BIG_BYTES = 200 * MEBIBYTE
PAGE = ("/bin/busybox", "cat", "/www/index.html")


class Target(Protocol):
    """One of the two places that images are loaded into, on the three nodes."""

    silent: type[CarinaError]

    async def load(self, node: int, archive: Path) -> None: ...

    def names(self, node: int) -> list[str]: ...

    def page(self, node: int, name: str) -> str:
        """Run the image and return the page that is in it."""
        ...

    def forget(self, node: int, names: list[str]) -> None: ...


@dataclass
class InDocker:
    nodes: DockerNodes
    swarm: Swarm
    silent: type[CarinaError] = DockerSilent

    async def load(self, node: int, archive: Path) -> None:
        await self.swarm.load_image(self.nodes.facts(node), archive, self.nodes.access)

    def names(self, node: int) -> list[str]:
        with Engines(self.nodes.access) as engines:
            images = engines.at(self.nodes.members[node]).images()
        return sorted(name for image in images for name in image["RepoTags"] if name != "carina/probe:1")

    def page(self, node: int, name: str) -> str:
        with Engines(self.nodes.access) as engines:
            engine = engines.at(self.nodes.members[node])
            config = {"Image": name, "Cmd": list(PAGE), "HostConfig": {"NetworkMode": "none"}}
            container = engine.create_container_from_config(config)["Id"]
            try:
                engine.start(container)
                engine.wait(container)
                return bytes(engine.logs(container)).decode()
            finally:
                engine.remove_container(container, force=True)

    def forget(self, node: int, names: list[str]) -> None:
        with Engines(self.nodes.access) as engines:
            for name in names:
                engines.at(self.nodes.members[node]).remove_image(name, force=True)


@dataclass
class InContainerd:
    nodes: DockerNodes
    silent: type[CarinaError] = CommandFailed

    async def load(self, node: int, archive: Path) -> None:
        await container_images.load(LocalShell(), self.nodes.plans[node], archive)

    def names(self, node: int) -> list[str]:
        names = self._ctr(node, "images", "ls", "--quiet").split()
        return sorted(name.removeprefix("docker.io/").removeprefix("library/") for name in names)

    def page(self, node: int, name: str) -> str:
        slash = "" if "/" in name else "library/"
        return self._ctr(node, "run", "--rm", f"docker.io/{slash}{name}", "page", *PAGE)

    def forget(self, node: int, names: list[str]) -> None:
        whole = self._ctr(node, "images", "ls", "--quiet").split()
        if whole:
            self._ctr(node, "images", "rm", "--sync", *whole)

    def _ctr(self, node: int, *words: str) -> str:
        plan = self.nodes.plans[node]
        attach = ("lxc-attach", "-P", f"{plan.host.root}/pool/nodes", "-n", plan.container, "--clear-env", "--")
        command = (*attach, "ctr", "--namespace", "k8s.io", *words)
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest_asyncio.fixture(scope="module")
async def nodes(real_host: RealHost) -> AsyncIterator[DockerNodes]:
    async with docker_nodes(real_host) as made:
        yield made


@pytest.fixture(scope="module")
def swarm() -> Iterator[Swarm]:
    made = Swarm(CertificatePki())
    yield made
    made.close()


@pytest_asyncio.fixture(params=["docker", "containerd"])
async def target(request: pytest.FixtureRequest, nodes: DockerNodes, swarm: Swarm) -> Target:
    """A place to load images into, with none in it yet on any node."""
    await nodes.start_all()
    empty: Target = InDocker(nodes, swarm) if request.param == "docker" else InContainerd(nodes)
    for node in range(len(nodes.members)):
        empty.forget(node, empty.names(node))
    return empty


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder on a disk that has room: /tmp may be in memory."""
    with tempfile.TemporaryDirectory(prefix="carina-images-", dir="/var/tmp") as made:
        yield Path(made)


@pytest.fixture
def web(folder: Path) -> TestImage:
    return busybox_image(folder, "web:1", text="web")


@pytest.fixture
def api(folder: Path) -> TestImage:
    return busybox_image(folder, "shop/api:2", text="api")


async def test_both_images_of_dockers_archive_run_under_their_names(
    target: Target, folder: Path, web: TestImage, api: TestImage
) -> None:
    await target.load(0, docker_archive(folder / "both.tar", web, api))
    assert target.names(0) == ["shop/api:2", "web:1"]
    assert [target.page(0, name) for name in ("web:1", "shop/api:2")] == ["web", "api"]


@pytest.mark.parametrize("zipped", [False, True])
async def test_both_images_of_an_oci_layout_run_under_their_names(
    target: Target, folder: Path, web: TestImage, api: TestImage, *, zipped: bool
) -> None:
    whole = replace(api, names=("docker.io/shop/api:2",))
    await target.load(0, oci_archive(folder / "both.tar", web, whole, zipped=zipped))
    assert target.names(0) == ["shop/api:2", "web:1"]
    assert [target.page(0, name) for name in ("web:1", "shop/api:2")] == ["web", "api"]


async def test_of_an_image_for_several_platforms_the_one_that_is_there_runs(
    target: Target, folder: Path, web: TestImage
) -> None:
    await target.load(0, oci_archive(folder / "web.tar", web, platforms=("arm64", "amd64")))
    assert target.page(0, "web:1") == "web"


async def test_an_image_for_other_machines_is_refused(target: Target, folder: Path, web: TestImage) -> None:
    archive = oci_archive(folder / "web.tar", web, platforms=("arm64", "arm"))
    with pytest.raises(ImageLoadFailed, match=r"no image web:1 for linux/amd64|no match for platform"):
        await target.load(0, archive)


async def test_loading_twice_is_the_same_as_once_and_a_newer_image_takes_the_name(
    target: Target, folder: Path, web: TestImage
) -> None:
    archive = docker_archive(folder / "web.tar", web)
    for _ in range(2):
        await target.load(0, archive)
    assert target.names(0) == ["web:1"]
    newer = busybox_image(folder, "web:1", text="newer")
    await target.load(0, oci_archive(folder / "newer.tar", newer))
    assert target.page(0, "web:1") == "newer"


async def test_junk_and_cut_archives_are_refused_and_leave_no_image(
    target: Target, folder: Path, web: TestImage
) -> None:
    junk = folder / "junk"
    junk.write_bytes(os.urandom(MEBIBYTE))
    for archive in (junk, cut(folder / "cut.tar", docker_archive(folder / "web.tar", web))):
        with pytest.raises(ImageLoadFailed, match="no whole tar"):
            await target.load(0, archive)
    assert target.names(0) == []


async def test_what_only_the_engine_finds_wrong_is_told_in_its_words(
    target: Target, folder: Path, web: TestImage
) -> None:
    broken = docker_archive(folder / "web.tar", web)
    with broken.open("r+b") as file:  # after all that describes the image: an engine answers before it has it all
        file.truncate(read(broken).end)
        file.seek(0, os.SEEK_END)
        for _ in range(40):
            file.write(os.urandom(MEBIBYTE))
    with pytest.raises(ImageLoadFailed, match="says: archive/tar: invalid tar header"):
        await target.load(0, broken)
    assert target.names(0) == []


async def test_a_node_that_does_not_run_is_no_fault_of_the_archive(
    target: Target, nodes: DockerNodes, folder: Path, web: TestImage
) -> None:
    nodes.stop(nodes.members[2])
    with pytest.raises(target.silent) as failed:
        await target.load(2, docker_archive(folder / "web.tar", web))
    assert not isinstance(failed.value, ImageLoadFailed)


async def test_a_big_archive_goes_to_all_nodes_at_once_and_never_through_memory(target: Target, folder: Path) -> None:
    big = docker_archive(folder / "big.tar", busybox_image(folder, "big:1", filler_bytes=BIG_BYTES))
    before = new_peak_bytes()
    await asyncio.gather(*(target.load(node, big) for node in range(3)))
    assert peak_bytes() - before < 32 * MEBIBYTE
    assert [target.names(node) for node in range(3)] == [["big:1"]] * 3


async def test_a_cut_load_ends_inside_the_node_and_may_be_done_again(nodes: DockerNodes, folder: Path) -> None:
    target = InContainerd(nodes)
    big = docker_archive(folder / "big.tar", busybox_image(folder, "big:1", filler_bytes=BIG_BYTES))
    load = asyncio.create_task(target.load(1, big))
    await asyncio.to_thread(until, lambda: "ctr" in readers(big))
    load.cancel()
    with pytest.raises(asyncio.CancelledError):
        await load
    assert readers(big) == []
    await target.load(1, big)
    assert target.names(1) == ["big:1"]


def new_peak_bytes() -> int:
    """Begin a new measurement of the most memory that this process has held; see proc(5), clear_refs."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


def peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def readers(archive: Path) -> list[str]:
    """Return the programs on this machine, those in nodes included, that have the archive as their input."""
    programs = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "fd/0").readlink() == archive:
                programs.append((process / "comm").read_text().strip())
        except OSError:
            continue  # it has ended meanwhile
    return programs
