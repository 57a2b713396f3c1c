"""Node images on hosts that are reached over SSH: sent once, whole, and no more than is missing."""

import asyncio
import fcntl
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from realhost import RealHost, prepared_host, run
from sshd import Sshd, running
from structlog.testing import capture_logs

from domain.clusters import SWARM
from domain.errors import DiskFull, HostNotReady
from domain.hosts import Host
from drivers.image_recipe import BASE
from drivers.images import NodeImages
from drivers.releases import Releases
from drivers.shells import HostShells
from drivers.ssh import ScriptCut

SENDING = "Sending the node image to far"
LOOKING = "Looking for the node image on far"


@dataclass(frozen=True)
class Near:
    """This side: a host that has a small image in place of Swarm's, and a cache with the streams of it."""

    host: Host
    cache: Path
    image: str


@dataclass(frozen=True)
class Far:
    """A host over SSH: an instance of its own on this machine. For it alone, `cache` lies over that of this side."""

    real: RealHost
    host: Host
    shells: HostShells
    near: Path
    cache: Path
    sshd: Sshd

    def images(self, builder: Host | None = None) -> NodeImages:
        return NodeImages(self.shells, str(self.near), builder=lambda: builder, kinds=[SWARM])

    @property
    def received(self) -> set[str]:
        return {path.name for path in (self.real.pool / "images").glob("[!.]*") if (path / "rootfs").is_dir()}

    async def bash(self, script: str, *args: str) -> str:
        return (await self.shells(self.host).run(f"set -e\n{script}", args=args, timeout_s=20)).text.strip()


def put_image(real: RealHost) -> str:
    """Put a base and what Swarm adds to it into a pool, each of a few incompressible megabytes; return the digest."""
    [digest] = NodeImages(kinds=[SWARM]).current() - {BASE.digest()}
    base, kind = (real.pool / "images" / name / "rootfs" for name in (BASE.digest(), digest))
    for path in (base, kind):
        path.parent.mkdir()
    run("btrfs", "subvolume", "create", str(base))
    (base / "base").write_bytes(os.urandom(40 * 2**20))
    run("btrfs", "property", "set", str(base), "ro", "true")
    run("btrfs", "subvolume", "snapshot", str(base), str(kind))
    (kind / "kind").write_bytes(os.urandom(4 * 2**20))
    run("btrfs", "property", "set", str(kind), "ro", "true")
    return digest


@pytest.fixture(scope="module")
async def near(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Near]:
    with prepared_host() as real:
        digest = put_image(real)
        cache = tmp_path_factory.mktemp("near")
        images = NodeImages(cache_dir=str(cache), builder=lambda: real.host)
        await images._streams(images._recipe(SWARM), SWARM, anew=False)
        yield Near(real.host, cache, digest)


@pytest.fixture
def node_image(near: Near) -> str:
    return near.image


@pytest.fixture
async def far(tmp_path: Path, near: Near) -> AsyncIterator[Far]:
    """A host that has no image yet, and this side's cache, which has Swarm's."""
    cache = tmp_path / "far"
    cache.mkdir()
    shutil.copytree(near.cache, tmp_path / "cache")
    (tmp_path / "sshd").mkdir()
    with prepared_host() as real, running(tmp_path / "sshd", pool=real.pool) as sshd:
        host = replace(real.host, id="far", name="far", address="127.0.0.1")
        shells = HostShells(lambda _: sshd.target())
        try:
            made = Far(real, host, shells, tmp_path / "cache", cache, sshd)
            await made.bash('mount --bind "$1" "$2"', str(cache), str(made.near))  # sshd has mounts of its own
            yield made
        finally:
            await shells.close()


async def test_an_image_is_sent_once_however_many_wait_and_then_costs_one_round_trip(far: Far, node_image: str) -> None:
    images = far.images()
    assert set(await asyncio.gather(*(images.ensure(far.host, SWARM) for _ in range(4)))) == {node_image}
    assert far.received == {BASE.digest(), node_image}
    before = far.shells.scripts()
    assert before[SENDING] == 2  # the base, and what Swarm adds
    await far.images().ensure(far.host, SWARM)
    assert dict(far.shells.scripts() - before) == {LOOKING: 1}
    for file in far.near.glob("*.btrfs.zst*"):
        assert (far.cache / file.name).read_bytes() == file.read_bytes()


async def test_two_control_planes_send_to_a_host_in_turn(far: Far, node_image: str) -> None:
    with capture_logs() as logs:
        await asyncio.gather(far.images().ensure(far.host, SWARM), far.images().ensure(far.host, SWARM))
    assert far.received == {BASE.digest(), node_image}
    assert [entry for entry in logs if entry["event"] == "image.not_received"] == []


@pytest.mark.parametrize("by", ["caller", "network"])
async def test_a_transfer_that_was_cut_goes_on_where_it_ended(far: Far, node_image: str, by: str) -> None:
    sending = asyncio.create_task(far.images().ensure(far.host, SWARM))
    async with asyncio.timeout(60):
        while not any(part.stat().st_size > 2**23 for part in far.cache.glob("*.part-*")):  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    if by == "caller":
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
    else:
        for pid in far.sshd.session_pids() - {far.sshd.pid}:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(ScriptCut, match="Sending the node image to far"):
            await sending
    [part] = far.cache.glob("*.part-*")
    arrived = part.stat().st_size
    with capture_logs() as logs:
        assert await far.images().ensure(far.host, SWARM) == node_image
    sizes = {file.name.partition(".")[0][:12]: file.stat().st_size for file in far.near.glob("*.zst")}
    sent = {entry["image"]: entry["bytes"] for entry in logs if entry["event"] == "image.sent"}
    cut = part.name.partition(".")[0][:12]
    assert sent[cut] == sizes[cut] - arrived
    assert list(far.cache.glob("*.part-*")) == []


async def test_what_arrives_damaged_is_sent_again_from_its_beginning(far: Far, node_image: str) -> None:
    stream = far.near / f"{BASE.digest()}.btrfs.zst"
    sum_ = stream.with_name(f"{stream.name}.sha256").read_text().split()[0]
    (far.cache / f"{stream.name}.part-{sum_}").write_bytes(bytes(2**20))
    with capture_logs() as logs:
        assert await far.images().ensure(far.host, SWARM) == node_image
    assert [entry["host"] for entry in logs if entry["event"] == "image.not_received"] == ["far"]
    assert far.received == {BASE.digest(), node_image}


async def test_what_got_damaged_in_the_host_s_cache_is_sent_again(far: Far, node_image: str) -> None:
    for file in far.near.glob("*.btrfs.zst*"):
        shutil.copy(file, far.cache)
    stream = far.cache / f"{node_image}.btrfs.zst"
    with stream.open("r+b") as file:
        file.write(b"damage")
    before = far.shells.scripts()
    assert await far.images().ensure(far.host, SWARM) == node_image
    assert (far.shells.scripts() - before)[SENDING] == 1


async def test_a_base_of_another_descent_is_replaced(far: Far, near: Near, node_image: str) -> None:
    base = far.real.pool / "images" / BASE.digest()
    base.mkdir()
    run("btrfs", "subvolume", "create", str(base / "rootfs"))
    assert await far.images(near.host).ensure(far.host, SWARM) == node_image
    assert far.received == {BASE.digest(), node_image}
    assert (base / "rootfs/base").exists()


async def test_what_this_side_has_no_more_of_than_the_image_itself_is_taken_from_that(
    far: Far, near: Near, node_image: str
) -> None:
    for file in far.near.iterdir():
        file.unlink()
    assert await far.images(near.host).ensure(far.host, SWARM) == node_image
    assert {file.name for file in far.near.glob("*.zst")} == {f"{d}.btrfs.zst" for d in (BASE.digest(), node_image)}


async def test_a_host_s_full_disk_is_told_with_its_name(far: Far) -> None:
    await far.bash('mount -t tmpfs -o size=40M tmpfs "$1"', str(far.near))
    with pytest.raises(DiskFull, match=r"far has no room for the node image: \d+ bytes are to come"):
        await far.images().ensure(far.host, SWARM)


async def test_without_a_machine_to_build_on_and_without_a_cache_the_image_can_not_be_had(
    far: Far, tmp_path: Path
) -> None:
    images = NodeImages(far.shells, str(tmp_path / "none"), releases=Releases(tmp_path))
    with pytest.raises(HostNotReady, match="not prepared to build it"):
        await images.ensure(far.host, SWARM)


async def test_images_are_collected_that_nobody_names_uses_or_has_asked_for_lately(far: Far, node_image: str) -> None:
    images = far.images()
    await images.ensure(far.host, SWARM)
    named, used, fresh, old, cached = node_image, "1" * 64, "2" * 64, "3" * 64, "4" * 64
    for digest in (used, fresh, old):
        (far.real.pool / "images" / digest).mkdir()
        run("btrfs", "subvolume", "create", str(far.real.pool / "images" / digest / "rootfs"))
    (far.real.pool / "images" / f".new-{old}").mkdir()
    node = far.real.pool / "nodes" / "node"
    node.mkdir()
    (node / "stamp.json").write_text(f'{{"image": "{used}"}}')
    for name in (f"{cached}.btrfs.zst", f"{cached}.btrfs.zst.sha256", f"{old}.btrfs.zst.part-x", f"{old}.lock"):
        (far.cache / name).touch()
    long_ago = time.time() - 3 * 24 * 3600
    for path in [*far.cache.iterdir(), *(far.real.pool / "images").iterdir()]:
        if fresh not in path.name:
            os.utime(path, (long_ago, long_ago))
    keep = images.current()
    assert keep == {BASE.digest(), node_image}
    assert await images.collect(far.host) == [old, cached]
    assert far.received == {BASE.digest(), named, used, fresh}
    assert list((far.real.pool / "images").glob(".new-*")) == []
    assert {path.name.partition(".")[0] for path in far.cache.iterdir()} == set(keep)
    assert await images.collect(far.host) == []


def is_waited_for(lock: int) -> bool:
    """Whether somebody waits for a lock; see proc(5)."""
    inode = f":{os.fstat(lock).st_ino} "
    return any("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines())


async def test_an_image_that_is_asked_for_while_a_collection_waits_for_it_stays(far: Far) -> None:
    image = far.real.pool / "images" / ("5" * 64)
    image.mkdir()
    run("btrfs", "subvolume", "create", str(image / "rootfs"))
    os.utime(image, (1, 1))
    with (image.parent / f".lock-{image.name}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        collecting = asyncio.create_task(far.images().collect(far.host))
        while not is_waited_for(lock.fileno()):
            assert not collecting.done()
            await asyncio.sleep(0.02)
        os.utime(image)
    assert await collecting == []
    assert (image / "rootfs").is_dir()
