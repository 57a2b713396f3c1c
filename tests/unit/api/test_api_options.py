"""What may be chosen of a cluster when it is created, and what is shown of it and of what it can do."""

import pytest
from api_testbed import Testbed, problem

from domain.clusters import Capability

DEFAULTS = {
    "network": "flannel",
    "pod_subnet": "10.244.0.0/16",
    "service_subnet": "10.245.0.0/16",
    "registry_mirrors": {},
    "insecure_registries": [],
    "hosts": [],
    "not_hosts": [],
}


async def test_a_kubernetes_cluster_shows_what_was_chosen_for_it(bed: Testbed) -> None:
    response = await bed.http.post("/clusters", json={"name": "k1", "cluster_type_id": "20"})
    assert response.status_code == 202
    cluster = response.json()
    assert cluster["cluster_type"] == {
        "id": 20,
        "name": "Kubernetes 1.35 on LXC",
        "coe": "kubernetes",
        "version": "1.35.4",
        "host_type": "lxc",
        "active": True,
        "size": {"cpus": 0.0, "memory_bytes": 0, "disk_bytes": 0},
        "requires": [],
    }
    assert (cluster["options"], cluster["capabilities"]) == (DEFAULTS, [])


async def test_options_are_taken_and_shown(bed: Testbed) -> None:
    options = {
        "network": "none",
        "pod_subnet": "10.200.0.0/16",
        "service_subnet": "10.201.0.0/20",
        "node_subnet": "10.64.5.0/24",
        "registry_mirrors": {"docker.io": "http://10.0.0.5:5000"},
        "insecure_registries": ["10.0.0.5:5000"],
        "hosts": ["machine"],
        "not_hosts": [],
    }
    response = await bed.http.post("/clusters", json={"name": "k1", "cluster_type_id": 20, "options": options})
    assert response.status_code == 202
    cluster = response.json()
    assert {**cluster["options"], "node_subnet": cluster["subnet"]} == options
    await bed.launcher.settle()
    assert bed.starter.started[-1].params == {"node_count": 1, "retain": False, "overlay": ""}


async def test_a_swarm_shows_no_networks_of_pods(bed: Testbed) -> None:
    options = {"registry_mirrors": {"docker.io": "http://10.0.0.5:5000"}, "network": None}
    response = await bed.http.post("/clusters", json={"name": "s1", "cluster_type_id": 22, "options": options})
    assert response.status_code == 202
    assert response.json()["options"] == {
        "network": None,
        "pod_subnet": None,
        "service_subnet": None,
        "registry_mirrors": {"docker.io": "http://10.0.0.5:5000"},
        "insecure_registries": [],
        "hosts": [],
        "not_hosts": [],
    }


@pytest.mark.parametrize(
    ("type_id", "options", "status", "field"),
    [
        (20, {"networks": "none"}, 400, "options.networks"),
        (20, {"pod_cidr": "10.200.0.0/16"}, 400, "options.pod_cidr"),
        (20, {"network": "calico"}, 400, "options.network"),
        (20, {"network": 1}, 400, "options.network"),
        (20, {"pod_subnet": "10.200.0.0/24"}, 400, "options.pod_subnet"),
        (20, {"pod_subnet": "8.0.0.0/8"}, 400, "options.pod_subnet"),
        (20, {"pod_subnet": "10.64.0.0/16"}, 409, "options.pod_subnet"),
        (20, {"pod_subnet": "10.0.0.0/8"}, 409, "options.pod_subnet"),
        (20, {"service_subnet": "10.200.0.1/16"}, 400, "options.service_subnet"),
        (20, {"pod_subnet": "10.200.0.0/16", "service_subnet": "10.200.4.0/22"}, 409, "options.service_subnet"),
        (20, {"node_subnet": "10.99.0.0/24"}, 400, "options.node_subnet"),
        (20, {"registry_mirrors": {"docker.io": "10.0.0.5:5000"}}, 400, "options.registry_mirrors"),
        (20, {"registry_mirrors": {"docker.io": "http://user:pw@10.0.0.5"}}, 400, "options.registry_mirrors"),
        (20, {"registry_mirrors": {"docker.io": "http://["}}, 400, "options.registry_mirrors"),
        (20, {"registry_mirrors": {"docker.io": 'http://10.0.0.5/"\n[x]'}}, 400, "options.registry_mirrors"),
        (20, {"registry_mirrors": {"a b": "http://10.0.0.5"}}, 400, "options.registry_mirrors"),
        (20, {"registry_mirrors": []}, 400, "options.registry_mirrors"),
        (20, {"insecure_registries": ["http://10.0.0.5"]}, 400, "options.insecure_registries"),
        (20, {"insecure_registries": "10.0.0.5"}, 400, "options.insecure_registries"),
        (20, {"hosts": "machine"}, 400, "options.hosts"),
        (22, {"hosts": ["another"]}, 400, "options.hosts"),
        (22, {"not_hosts": ["another"]}, 400, "options.not_hosts"),
        (22, {"hosts": ["machine"], "not_hosts": ["machine"]}, 400, "options.not_hosts"),
        (22, {"network": "none"}, 400, "options.network"),
        (22, {"pod_subnet": "10.200.0.0/16"}, 400, "options.pod_subnet"),
        (22, {"registry_mirrors": {"quay.io": "http://10.0.0.5"}}, 400, "options.registry_mirrors"),
        (20, "none", 400, "options"),
    ],
)
async def test_a_bad_option_is_named_and_changes_nothing(
    bed: Testbed, type_id: int, options: object, status: int, field: str
) -> None:
    before = bed.rows()
    body = {"name": "k1", "cluster_type_id": type_id, "options": options}
    error = problem(await bed.http.post("/clusters", json=body), status)
    assert error["field"] == field
    assert error["remedy"]
    assert bed.rows() == before
    assert bed.starter.started == []


async def test_a_node_subnet_is_one_clusters_only(bed: Testbed) -> None:
    body = {"cluster_type_id": 22, "options": {"node_subnet": "10.64.5.0/24"}}
    assert (await bed.http.post("/clusters", json={"name": "one", **body})).status_code == 202
    error = problem(await bed.http.post("/clusters", json={"name": "two", **body}), 409)
    assert (error["code"], error["field"]) == ("subnet-overlaps", "options.node_subnet")


async def test_the_same_key_with_other_options_is_refused(bed: Testbed) -> None:
    body = {"name": "k1", "cluster_type_id": 20}
    headers = {"Idempotency-Key": "k-1"}
    first = (await bed.http.post("/clusters", json=body, headers=headers)).json()
    assert (await bed.http.post("/clusters", json=body, headers=headers)).json() == first
    other = {**body, "options": {"network": "none"}}
    assert (
        problem(await bed.http.post("/clusters", json=other, headers=headers), 409)["code"] == "idempotency-key-reused"
    )


async def test_a_type_without_its_release_names_the_command_that_adds_it(bed: Testbed) -> None:
    bed.releases.there.discard(("kubernetes", "1.35.4"))
    before = bed.rows()
    error = problem(await bed.http.post("/clusters", json={"name": "k1", "cluster_type_id": 20}), 409)
    assert (error["code"], error["field"]) == ("release-missing", "cluster_type_id")
    assert "carinad release add kubernetes 1.35.4" in error["remedy"]
    assert bed.rows() == before
    assert (await bed.http.post("/clusters", json={"name": "s1", "cluster_type_id": 22})).status_code == 202


async def test_what_a_cluster_was_found_to_do_is_shown_with_the_time(bed: Testbed) -> None:
    cluster = await bed.active("k1", type_id=20)
    assert cluster["endpoint"] == "https://10.64.0.10:6443"
    bed.records.set_capabilities(cluster["id"], [Capability("network-policy", False, "a probe got through")])
    (found,) = (await bed.get(f"/clusters/{cluster['id']}"))["capabilities"]
    assert found.pop("verified_at").endswith("Z")
    assert found == {"name": "network-policy", "works": False, "detail": "a probe got through"}
