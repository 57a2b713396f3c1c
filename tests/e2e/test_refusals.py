"""What is refused at once, in words that say what to do: nothing is made of it."""

import json

import machine
import pytest
from installation import KUBERNETES_ID, KUBERNETES_VERSION, TYPES, Installation, Json
from people import KINDS

OLDER_ID, OLDER = 24, "1.34.4"
FORBIDDEN = {
    "type": ({"cluster_type_id": 99}, 400, "invalid-input", "cluster_type_id"),
    "version": ({"cluster_type_id": OLDER_ID}, 409, "release-missing", f"carinad release add kubernetes {OLDER}"),
    "network": ({"options": {"network": "calico"}}, 400, "invalid-input", "flannel, none"),
    "pods over services": (
        {"options": {"pod_subnet": "10.200.0.0/16", "service_subnet": "10.200.128.0/20"}},
        409,
        "subnet-overlaps",
        "options.service_subnet",
    ),
    "public pods": ({"options": {"pod_subnet": "8.8.0.0/16"}}, 400, "invalid-input", "options.pod_subnet"),
    "no subnet": ({"options": {"node_subnet": "elsewhere"}}, 400, "invalid-input", "options.node_subnet"),
    "mirror": ({"options": {"registry_mirrors": {"docker.io": "ftp://x"}}}, 400, "invalid-input", "registry_mirrors"),
    "no nodes": ({"node_count": 0}, 400, "invalid-input", "node_count"),
}


@pytest.fixture(autouse=True)
def release(carina: Installation) -> None:
    carina.add_release()


def refused(carina: Installation, method: str, path: str, body: Json) -> tuple[int, str, str]:
    """Status, code and the whole error of a refused request."""
    response = carina.call(method, path, json=body)
    [error] = response.json()["errors"]
    assert error["title"]
    assert error["detail"]
    assert error["remedy"]
    return response.status_code, error["code"], json.dumps(error)


def test_each_configured_version_of_kubernetes_is_a_type(carina: Installation) -> None:
    listed = {kind["id"]: kind for kind in carina.get("/cluster_types")["cluster_types"]}
    assert {number: (kind["coe"], kind["version"]) for number, kind in listed.items()} == {
        TYPES["swarm"]: ("swarm", "26.1"),
        KUBERNETES_ID: ("kubernetes", KUBERNETES_VERSION),
        OLDER_ID: ("kubernetes", OLDER),
    }
    assert listed[OLDER_ID]["name"] == "Kubernetes 1.34 on LXC"


@pytest.mark.parametrize("what", FORBIDDEN)
def test_a_cluster_that_can_not_be_is_refused(carina: Installation, what: str) -> None:
    change, status, code, words = FORBIDDEN[what]
    before = machine.containers(carina), machine.links(carina)
    body = {"name": "impossible", "cluster_type_id": KUBERNETES_ID, "node_count": 1} | change
    found = refused(carina, "POST", "/clusters", body)
    assert found[:2] == (status, code)
    assert words in found[2]
    assert carina.get("/clusters?name=impossible")["clusters"] == []
    assert (machine.containers(carina), machine.links(carina)) == before


def test_pods_over_nodes_are_refused(carina: Installation) -> None:
    nodes = json.loads(machine.claim_file(carina).read_text())["network"]
    body = {"name": "impossible", "cluster_type_id": KUBERNETES_ID, "node_count": 1, "options": {"pod_subnet": nodes}}
    assert refused(carina, "POST", "/clusters", body)[:2] == (409, "subnet-overlaps")


def test_a_swarm_has_no_choice_of_pods(carina: Installation) -> None:
    body = {"name": "impossible", "cluster_type_id": TYPES["swarm"], "node_count": 1}
    found = refused(carina, "POST", "/clusters", body | {"options": {"pod_subnet": "10.200.0.0/16"}})
    assert found[:2] == (400, "invalid-input")


def test_the_command_says_how_to_get_a_release_that_is_missing(carina: Installation) -> None:
    done = carina.carina("create", "impossible", "--type", str(OLDER_ID), check=False)
    assert done.returncode != 0
    assert f"carinad release add kubernetes {OLDER}" in done.stderr


@pytest.mark.parametrize("kind", KINDS)
async def test_changes_that_can_not_be_are_refused(carina: Installation, kind: str) -> None:
    cluster = await carina.active("asked", 1, kind=kind)
    path = f"/clusters/{cluster['id']}"
    for count in (0, -1, 101):
        resize = {"type": "resize", "input": {"node_count": count}}
        assert refused(carina, "POST", f"{path}/tasks", resize)[:2] == (400, "invalid-input")
    others = {"kubernetes": {"subnet": "10.201.0.0/24"}, "swarm": {"services": ["web:80"]}}[kind]
    assert refused(carina, "POST", f"{path}/overlays", {"name": "more"} | others)[:2] == (400, "invalid-input")
    junk = carina.call(
        "POST", f"{path}/images", headers={"Content-Type": "application/x-tar"}, content=b"no archive" * 1000
    )
    assert (junk.status_code, junk.json()["errors"][0]["code"]) == (400, "invalid-input")
    now = carina.cluster(cluster["id"])
    assert (now["status"], now["node_count"], now["operation_id"]) == ("active", 1, None)
    assert carina.get(f"{path}/images")["images"] == []
    await carina.deleted(cluster["id"])
