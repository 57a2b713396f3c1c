"""Node images: built once, kept for others on the machine, whole or not there, and most of them in common."""

import asyncio
import dataclasses
import os
import shutil
import time
from pathlib import Path

import pytest
from nodes_help import cut_before, in_node, plan_node
from realhost import RealHost, mounts_below, prepared_host, run

from domain.clusters import SWARM, ClusterType
from domain.errors import CommandFailed, HostNotReady, ImageUnavailable, ReleaseMissing
from domain.hosts import Host
from drivers import image_recipe
from drivers.fakes.images import FakeImages
from drivers.image_recipe import BASE, PROBE_IMAGE
from drivers.images import CACHE_DIR, NodeImages
from drivers.lxc import LxcNodes
from drivers.lxc_config import stamp_text
from drivers.releases import Releases

PAUSE_IMAGE = "localhost/pause:1"


def cached(image: str, cache: Path) -> Path:
    """Put an image and the base that it grew on into a cache directory."""
    for digest in (BASE.digest(), image):
        for file in Path(CACHE_DIR).glob(f"{digest}.btrfs.zst*"):
            shutil.copy(file, cache)
    return cache


@pytest.fixture
def cache(tmp_path: Path, node_image: str) -> Path:
    """A cache directory that has Swarm's image."""
    return cached(node_image, tmp_path)


def rootfs_of(host: RealHost, image: str) -> Path:
    return host.pool / "images" / image / "rootfs"


def left_over(host: RealHost) -> list[Path]:
    return list((host.pool / "images").glob(".new-*"))


async def test_an_image_that_is_there_is_not_made_again(real_host: RealHost, node_image: str) -> None:
    told: list[str] = []
    assert await NodeImages(progress=told.append).ensure(real_host.host, SWARM) == node_image
    assert told == []


async def test_the_fake_says_the_same_digest_each_time() -> None:
    host = Host("host-fake", "fake", "local", "/nowhere")
    images = FakeImages()
    assert await images.ensure(host, SWARM) == await images.ensure(host, SWARM)


async def test_the_image_carries_nothing_that_must_differ_between_nodes(real_host: RealHost, node_image: str) -> None:
    rootfs = rootfs_of(real_host, node_image)
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
            await NodeImages(cut_before('mv -T "$new" "$final"'), str(cache)).ensure(other.host, SWARM)
        assert left_over(other)
        images = NodeImages(cache_dir=str(cache), progress=told.append)
        two = await asyncio.gather(images.ensure(other.host, SWARM), images.ensure(other.host, SWARM))
        assert two == [node_image, node_image]
        assert left_over(other) == []
    assert told == [f"taking the node image from {cache}"] * 2  # the base and what Swarm adds


async def test_an_image_goes_when_no_node_has_been_made_of_it_and_nobody_has_asked_for_it_in_a_month(
    cache: Path, node_image: str
) -> None:
    used, unused, fresh = "1" * 64, "2" * 64, "3" * 64
    with prepared_host() as other:
        for name in (used, unused, fresh):
            (other.pool / "images" / name).mkdir()
            run("btrfs", "subvolume", "create", str(rootfs_of(other, name)))
        plan = plan_node(other, used)
        (other.pool / "nodes" / plan.container).mkdir()
        (other.pool / "nodes" / plan.container / "stamp.json").write_text(stamp_text(plan.stamp))
        month_ago = time.time() - 32 * 24 * 3600
        for name in (used, unused):
            os.utime(other.pool / "images" / name, (month_ago, month_ago))
        await NodeImages(cache_dir=str(cache)).ensure(other.host, SWARM)
        left = {path.name for path in (other.pool / "images").glob("[!.]*")}
    assert left == {BASE.digest(), node_image, used, fresh}


async def test_a_damaged_cache_is_told_and_a_cancelled_build_leaves_no_mounts(cache: Path, node_image: str) -> None:
    stream = cache / f"{BASE.digest()}.btrfs.zst"
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
        build = asyncio.create_task(NodeImages(cache_dir=str(cache), progress=hear).ensure(other.host, SWARM))
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
        await NodeImages().ensure(host, SWARM)


async def test_packages_that_can_not_be_had_are_told(
    real_host: RealHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.images.SWARM", dataclasses.replace(image_recipe.SWARM, packages=("no-such-package",)))
    with pytest.raises(ImageUnavailable, match="no-such-package") as caught:
        await NodeImages(cache_dir=str(tmp_path)).ensure(real_host.host, SWARM)
    assert not isinstance(caught.value, CommandFailed)


async def test_a_kubernetes_image_needs_its_release(
    real_host: RealHost, tmp_path: Path, kubernetes: ClusterType
) -> None:
    with pytest.raises(ReleaseMissing, match=kubernetes.version):
        await NodeImages(releases=Releases(tmp_path)).ensure(real_host.host, kubernetes)


async def test_images_have_the_blocks_of_their_base_in_common(
    real_host: RealHost, node_image: str, kubernetes_image: str
) -> None:
    run("btrfs", "filesystem", "sync", str(real_host.pool))
    paths = [str(rootfs_of(real_host, digest)) for digest in (BASE.digest(), node_image, kubernetes_image)]
    lines = run("btrfs", "filesystem", "du", "--summarize", "--raw", *paths).splitlines()[1:]
    (base, _), *others = [tuple(map(int, line.split()[:2])) for line in lines]
    for total, exclusive in others:
        assert total - exclusive > 0.9 * base


async def test_etcd_begins_with_the_default_roles_and_with_nothing_that_tells_clusters_apart(
    real_host: RealHost, kubernetes_image: str
) -> None:
    database = (rootfs_of(real_host, kubernetes_image) / "var/lib/etcd/member/member/snap/db").read_bytes()
    for kept in ("clusterroles/system:node", "clusterrolebindings/cluster-admin", "flowschemas/", "priorityclasses/"):
        assert f"/registry/{kept}".encode() in database, kept
    for kind in ("namespaces", "serviceaccounts", "configmaps", "leases", "services", "masterleases", "minions"):
        assert f"/registry/{kind}/".encode() not in database, kind


async def test_a_kubernetes_node_without_settings_has_containerd_with_its_images_and_nothing_else(
    real_host: RealHost, kubernetes_image: str
) -> None:
    nodes, plan = LxcNodes(), plan_node(real_host, kubernetes_image)
    ctr = ("ctr", "--namespace", "k8s.io")
    try:
        await nodes.ensure(plan, [])
        assert "0 loaded units" in await in_node(real_host, plan, "systemctl", "--failed", "--no-pager")
        plugins = await in_node(real_host, plan, "ctr", "plugins", "ls", "id==cri")
        assert plugins.split()[-1] == "ok"
        images = await in_node(real_host, plan, *ctr, "images", "ls")
        [pause] = [line for line in images.splitlines() if line.startswith(f"{PAUSE_IMAGE} ")]
        assert "io.cri-containerd.pinned=pinned" in pause
        echo = ("run", "--rm", "--snapshotter", "overlayfs", f"docker.io/{PROBE_IMAGE}", "one", "echo", "hello")
        assert await in_node(real_host, plan, *ctr, *echo) == "hello\n"
        running = await in_node(real_host, plan, "systemctl", "list-units", "--state=running", "--plain", "--no-legend")
        services = {line.split()[0] for line in running.splitlines() if ".service" in line}
        assert services == {"containerd.service", "dbus.service", "systemd-journald.service"}
    finally:
        await nodes.remove(plan.host, plan.container)


async def test_a_killed_build_on_another_base_than_the_caches_is_made_by_the_next_calls(
    tmp_path: Path, kubernetes: ClusterType, releases: Releases, kubernetes_image: str
) -> None:
    cache = cached(kubernetes_image, tmp_path)
    stream = cache / f"{kubernetes_image}.btrfs.zst"
    told: list[str] = []
    with prepared_host() as other:
        with pytest.raises(ImageUnavailable, match="SIGKILL"):
            await NodeImages(cut_before('ensure make_kind "$kind"'), str(cache)).ensure(other.host, SWARM)
        base = rootfs_of(other, BASE.digest())
        run("btrfs", "subvolume", "snapshot", str(base), str(base.with_name("new")))
        run("btrfs", "subvolume", "delete", str(base))
        base.with_name("new").rename(base)
        run("btrfs", "property", "set", str(base), "ro", "true")
        cut = NodeImages(cut_before('echo "adding Debian packages"'), str(cache), told.append, releases)
        with pytest.raises(ImageUnavailable, match="SIGKILL"):
            await cut.ensure(other.host, kubernetes)
        assert "another base" in told[1]
        assert left_over(other)
        images = NodeImages(cache_dir=str(cache), releases=releases)
        two = await asyncio.gather(images.ensure(other.host, kubernetes), images.ensure(other.host, kubernetes))
        assert two == [kubernetes_image, kubernetes_image]
        assert left_over(other) == []
        assert mounts_below(other.pool) == []
    assert stream.exists()
