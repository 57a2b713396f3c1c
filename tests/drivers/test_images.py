"""The node image: built once, kept for others on the machine, and whole or not there."""

import asyncio
import shutil
from pathlib import Path

import pytest
from nodes_help import cut_before
from realhost import RealHost, mounts_below, prepared_host

from domain.errors import CommandFailed, HostNotReady, ImageUnavailable
from domain.hosts import Host
from drivers.fakes.images import FakeImages
from drivers.image_recipe import digest
from drivers.images import CACHE_DIR, NodeImages


@pytest.fixture
def cache(tmp_path: Path, node_image: str) -> Path:
    """A cache directory that has the image."""
    for file in Path(CACHE_DIR).glob(f"{node_image}.btrfs.zst*"):
        shutil.copy(file, tmp_path)
    return tmp_path


def left_over(host: RealHost) -> list[Path]:
    return list((host.pool / "images").glob(".new-*"))


async def test_an_image_that_is_there_is_not_made_again(real_host: RealHost, node_image: str) -> None:
    told: list[str] = []
    assert await NodeImages(progress=told.append).ensure(real_host.host) == node_image == digest()
    assert told == []


async def test_the_fake_says_the_same_digest_each_time() -> None:
    host = Host("host-fake", "fake", "local", "/nowhere")
    images = FakeImages()
    assert await images.ensure(host) == await images.ensure(host)


async def test_the_image_carries_nothing_that_must_differ_between_nodes(real_host: RealHost, node_image: str) -> None:
    rootfs = real_host.pool / "images" / node_image / "rootfs"
    assert (rootfs / "etc/machine-id").read_text() == ""
    for path in ("etc/hostname", "var/lib/docker/engine-id", "var/lib/docker/network", "var/lib/carina/ready"):
        assert not (rootfs / path).exists(), path
    assert list((rootfs / "var/log/journal").iterdir()) == []
    with pytest.raises(OSError, match="Read-only"):
        (rootfs / "etc/hostname").write_text("x")


async def test_another_instance_takes_the_image_from_the_cache_even_after_a_killed_call(
    cache: Path, node_image: str
) -> None:
    told: list[str] = []
    with prepared_host() as other:
        with pytest.raises(ImageUnavailable, match="SIGKILL"):
            await NodeImages(cut_before('mv -T "$new" "$final"'), str(cache)).ensure(other.host)
        assert left_over(other)
        images = NodeImages(cache_dir=str(cache), progress=told.append)
        assert await asyncio.gather(images.ensure(other.host), images.ensure(other.host)) == [node_image, node_image]
        assert left_over(other) == []
    assert told == [f"taking the node image from {cache}"]


async def test_a_damaged_cache_is_told_and_a_cancelled_build_leaves_no_mounts(cache: Path, node_image: str) -> None:
    stream = cache / f"{node_image}.btrfs.zst"
    with stream.open("r+b") as file:
        file.seek(10_000)
        file.write(b"damage")
    told: list[str] = []
    building = asyncio.Event()

    def hear(line: str) -> None:
        told.append(line)
        if "installing" in line:
            building.set()

    with prepared_host() as other:
        build = asyncio.create_task(NodeImages(cache_dir=str(cache), progress=hear).ensure(other.host))
        async with asyncio.timeout(30):
            await building.wait()
        build.cancel()
        with pytest.raises(asyncio.CancelledError):
            await build
        assert "damaged" in told[1]
        assert not stream.exists()
        assert mounts_below(other.pool) == []
        assert list((other.pool / "images").glob("[!.]*")) == []


async def test_a_host_without_a_pool_or_a_claim_is_not_ready(tmp_path: Path) -> None:
    host = Host("host-bare", "bare", "local", str(tmp_path))
    with pytest.raises(HostNotReady, match="claim"):
        await NodeImages().ensure(host)


async def test_packages_that_can_not_be_had_are_told(
    real_host: RealHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.image_recipe.PACKAGES", ("no-such-package",))
    with pytest.raises(ImageUnavailable, match="no-such-package") as caught:
        await NodeImages(cache_dir=str(tmp_path)).ensure(real_host.host)
    assert not isinstance(caught.value, CommandFailed)
