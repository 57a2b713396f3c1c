"""Container images without a registry: they get onto all nodes, run there, and come to new nodes by themselves."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from image_archives_help import busybox_image, cut, docker_archive, oci_archive
from installation import Installation, Json, until
from swarm import swarm_of

from domain.clusters import DEFAULT_KUBERNETES
from drivers.images import CACHE_DIR
from drivers.release_sources import ensure_release
from drivers.releases import Releases

MEBIBYTE = 2**20
[(TYPE_ID, VERSION)] = DEFAULT_KUBERNETES.items()


@pytest.fixture(scope="module")
async def shop(carina: Installation) -> AsyncIterator[Json]:
    cluster = await carina.active("shop", 2)
    yield cluster
    await carina.deleted(cluster["id"])


@pytest.fixture(scope="module")
async def fleet(carina: Installation) -> AsyncIterator[Json]:
    """A Kubernetes cluster of two nodes."""
    ensure_release(Releases(carina.home / "releases"), VERSION, Path(CACHE_DIR))
    asked = {"name": "fleet", "cluster_type_id": TYPE_ID, "node_count": 2}
    cluster, operation = carina.accepted("POST", "/clusters", asked)
    await carina.succeeded(operation)
    yield cluster
    await carina.deleted(cluster["id"])


@pytest.fixture(scope="module")
def folder(carina: Installation) -> Path:
    made = carina.directory / "archives"
    made.mkdir()
    return made


def images(installation: Installation, cluster: Json) -> dict[str, Json]:
    """Return what the command lists, by the first name of each."""
    listed = json.loads(installation.carina("images", "ls", cluster["name"], "--output", "json").stdout)["images"]
    return {image["names"][0]: image for image in listed}


def page(installation: Installation, cluster: Json, address: str, name: str) -> str:
    """Return the page in an image that is on the node with that address."""
    with swarm_of(installation, cluster) as swarm:
        output = swarm.at(address).containers.run(name, ["/bin/busybox", "cat", "/www/index.html"], remove=True)
    return bytes(output).decode()


async def test_images_get_onto_all_nodes_and_onto_new_ones(carina: Installation, shop: Json, folder: Path) -> None:
    web, api = busybox_image(folder, "web:1", text="web"), busybox_image(folder, "shop/api:2", text="api")
    carina.carina("images", "load", "shop", str(docker_archive(folder / "web.tar", web)))
    carina.carina("images", "load", "shop", str(oci_archive(folder / "api.tar", api, zipped=True)))
    assert {name: image["state"] for name, image in images(carina, shop).items()} == {
        "web:1": "active",
        "shop/api:2": "active",
    }
    await carina.succeeded(carina.resize(shop["id"], 3))
    for node in carina.nodes(shop["id"]):
        assert page(carina, shop, node["address"], "web:1") == "web"
        assert page(carina, shop, node["address"], "shop/api:2") == "api"
    await carina.succeeded(carina.resize(shop["id"], 2))


async def test_a_service_runs_on_all_nodes_from_a_loaded_image(carina: Installation, shop: Json, folder: Path) -> None:
    archive = docker_archive(folder / "served.tar", busybox_image(folder, "served:1", text="served"))
    carina.carina("images", "load", "shop", str(archive))
    with swarm_of(carina, shop) as swarm:
        service = swarm.manager.services.create("served:1", name="served", networks=["carina"], mode="global")
        try:

            def run() -> bool:
                states = [task["Status"]["State"] for task in service.tasks()]
                return states.count("running") == 2

            await until(run, 60, "the service runs on both nodes")
        finally:
            service.remove()


@pytest.mark.parametrize("oci", [False, True])
async def test_pods_on_all_nodes_run_from_a_loaded_image_by_its_short_name(
    carina: Installation, fleet: Json, folder: Path, *, oci: bool
) -> None:
    name = "oci" if oci else "plain"
    image = busybox_image(folder, f"{name}:1", text=name)
    archive = (oci_archive if oci else docker_archive)(folder / f"{name}.tar", image)
    carina.carina("images", "load", "fleet", str(archive))
    labels = {"app": name}
    container = {"name": "web", "image": f"{name}:1", "imagePullPolicy": "Never"}
    daemons = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
            },
        },
    }
    (folder / "daemons.json").write_text(json.dumps(daemons))
    kubectl(carina, "apply", "--filename", str(folder / "daemons.json"))
    await carina.succeeded(carina.resize(fleet["id"], 3))

    def pods() -> list[str]:
        return kubectl(carina, "get", "pods", "--selector", f"app={name}", "--output", "name").split()

    await until(lambda: len(pods()) == 3, 60, "each node has a pod")
    kubectl(carina, "rollout", "status", f"daemonset/{name}", "--timeout=60s")
    for pod in pods():
        assert kubectl(carina, "exec", pod, "--", "/bin/busybox", "cat", "/www/index.html") == name
    kubectl(carina, "delete", "daemonset", name)
    await carina.succeeded(carina.resize(fleet["id"], 2))


async def test_a_big_image_does_not_fill_the_services_memory(carina: Installation, shop: Json, folder: Path) -> None:
    big = docker_archive(folder / "big.tar", busybox_image(folder, "big:1", filler_bytes=200 * MEBIBYTE))
    pid = carina.service_pid()
    before = new_peak_bytes(pid)
    carina.carina("images", "load", "shop", str(big))
    assert peak_bytes(pid) - before < 64 * MEBIBYTE
    digest = images(carina, shop)["big:1"]["digest"]
    kept = carina.home / "images" / shop["id"] / f"{digest.removeprefix('sha256:')}.tar"
    assert kept.stat().st_size == big.stat().st_size
    carina.carina("images", "rm", "shop", "big:1")
    assert not kept.exists()
    assert "big:1" not in images(carina, shop)


async def test_what_is_no_archive_of_images_is_refused_and_not_kept(
    carina: Installation, shop: Json, folder: Path
) -> None:
    before = images(carina, shop).keys(), stored(carina)
    junk = folder / "junk"
    junk.write_bytes(os.urandom(MEBIBYTE))
    whole = docker_archive(folder / "whole.tar", busybox_image(folder, "whole:1", text="whole"))
    for archive in (junk, cut(folder / "cut.tar", whole)):
        done = carina.carina("images", "load", "shop", str(archive), check=False)
        assert done.returncode != 0
        assert "invalid-input" in done.stderr
    assert (images(carina, shop).keys(), stored(carina)) == before


async def test_a_deleted_cluster_leaves_no_archives(carina: Installation, folder: Path) -> None:
    cluster = await carina.active("brief", 1)
    archive = docker_archive(folder / "brief.tar", busybox_image(folder, "brief:1", text="brief"))
    carina.carina("images", "load", "brief", str(archive))
    assert (carina.home / "images" / cluster["id"]).is_dir()
    await carina.deleted(cluster["id"])
    assert not (carina.home / "images" / cluster["id"]).exists()


def kubectl(installation: Installation, *words: str) -> str:
    """Run kubectl as the cluster's people do, with credentials of their own."""
    config = installation.user_home / "fleet.yaml"
    if not config.exists():
        installation.carina("kubeconfig", "fleet", "--output", str(config))
    program = installation.home / "releases" / f"kubernetes-{VERSION}" / "bin" / "kubectl"
    return installation.run(str(program), "--kubeconfig", str(config), *words).stdout


def new_peak_bytes(pid: int) -> int:
    """Have a process's greatest use of memory counted anew, and return what it uses now; see proc(5), clear_refs."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak_bytes(pid)


def peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def stored(installation: Installation) -> list[str]:
    """Return the files that the service keeps of archives, half-made ones too."""
    return sorted(str(path) for path in (installation.home / "images").rglob("*") if path.is_file())
