import pytest
from api_testbed import Testbed, problem

FIELDS = {
    "name",
    "subnet",
    "mtu",
    "attachable",
    "encrypted",
    "services",
    "state",
    "error",
    "verified_at",
    "created_at",
}


async def test_an_overlay_is_accepted_and_started(bed: Testbed) -> None:
    cluster = await bed.active()
    response = await bed.http.post(
        f"/clusters/{cluster['id']}/overlays", json={"name": "back", "subnet": "10.48.7.0/24", "attachable": False}
    )
    assert response.status_code == 202
    overlay = response.json()
    assert set(overlay) == FIELDS
    assert (overlay["name"], overlay["subnet"], overlay["mtu"]) == ("back", "10.48.7.0/24", 1400)
    assert (overlay["attachable"], overlay["encrypted"], overlay["state"]) == (False, False, "pending")
    await bed.launcher.settle()
    operation = bed.starter.started[-1]
    assert response.headers["Location"] == f"/operations/{operation.id}"
    assert (operation.kind, operation.params) == ("add-overlay", {"overlay": "back"})


async def test_a_subnet_is_chosen_where_none_is_given(bed: Testbed) -> None:
    cluster = await bed.active()
    response = await bed.http.post(f"/clusters/{cluster['id']}/overlays", json={"name": "back", "subnet": None})
    assert response.status_code == 202
    assert response.json()["subnet"].startswith("10.48.")
    assert response.json()["attachable"] is True


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"name": "back", "subnet": "10.64.0.0/24"}, 409, "subnet-overlaps", "subnet"),
        ({"name": "back", "subnet": "172.17.4.0/24"}, 409, "subnet-overlaps", "subnet"),
        ({"name": "back", "subnet": "10.32.0.0/24"}, 409, "subnet-overlaps", "subnet"),
        ({"name": "back", "subnet": "8.8.8.0/24"}, 400, "invalid-input", "subnet"),
        ({"name": "back", "subnet": "10.48.7.1/24"}, 400, "invalid-input", "subnet"),
        ({"name": "back", "subnet": "fd00::/64"}, 400, "invalid-input", "subnet"),
        ({"name": "back", "subnet": "anywhere"}, 400, "invalid-input", "subnet"),
        ({"name": "back", "subnet": 10}, 400, "invalid-input", "subnet"),
        ({"name": ""}, 400, "invalid-input", "name"),
        ({"name": "x" * 64}, 400, "invalid-input", "name"),
        ({"name": "ingress"}, 400, "invalid-input", "name"),
        ({"name": "a/b"}, 400, "invalid-input", "name"),
        ({}, 400, "invalid-input", "name"),
        ({"name": "back", "attachable": "yes"}, 400, "invalid-input", "attachable"),
        ({"name": "back", "encrypted": 1}, 400, "invalid-input", "encrypted"),
        ({"name": "back", "encrypted": True}, 409, "encryption-unsupported", None),
        ({"name": "back", "services": ["web:80"]}, 400, "invalid-input", "services"),
        ({"name": "back", "services": []}, 400, "invalid-input", "services"),
    ],
)
async def test_a_bad_overlay_is_named_and_changes_nothing(
    bed: Testbed, body: dict[str, object], status: int, code: str, field: str | None
) -> None:
    cluster = await bed.active()
    before = bed.rows()
    error = problem(await bed.http.post(f"/clusters/{cluster['id']}/overlays", json=body), status)
    assert (error["code"], error.get("field")) == (code, field)
    assert bed.rows() == before


async def _add(bed: Testbed, cluster_id: str, name: str, subnet: str | None = None) -> None:
    response = await bed.http.post(f"/clusters/{cluster_id}/overlays", json={"name": name, "subnet": subnet})
    assert response.status_code == 202, response.text
    operation_id = response.headers["Location"].removeprefix("/operations/")
    bed.begin(operation_id)
    bed.records.mark_overlay(cluster_id, name, verified=True)
    bed.records.complete_operation(operation_id)


async def test_overlays_of_one_cluster_do_not_overlap(bed: Testbed) -> None:
    cluster = await bed.active()
    await _add(bed, cluster["id"], "front", "10.50.0.0/22")
    before = bed.rows()
    body = {"name": "back", "subnet": "10.50.2.0/24"}
    error = problem(await bed.http.post(f"/clusters/{cluster['id']}/overlays", json=body), 409)
    assert (error["code"], error["field"]) == ("subnet-overlaps", "subnet")
    again = problem(await bed.http.post(f"/clusters/{cluster['id']}/overlays", json={"name": "front"}), 409)
    assert (again["code"], again["field"]) == ("overlay-exists", "name")
    assert bed.rows() == before


async def test_overlays_are_listed_by_pages_and_names(bed: Testbed) -> None:
    cluster = await bed.active()
    for name in ("b", "c", "a"):
        await _add(bed, cluster["id"], name)
    first = await bed.get(f"/clusters/{cluster['id']}/overlays?limit=2")
    rest = await bed.get(first["links"][0]["href"])
    assert [overlay["name"] for overlay in first["overlays"] + rest["overlays"]] == ["a", "b", "c", "carina"]
    assert rest["links"] == []
    assert first["overlays"][0]["state"] == "active"
    assert first["overlays"][0]["verified_at"].endswith("Z")
    bad = await bed.http.get(f"/clusters/{cluster['id']}/overlays?marker=a%2Fb")
    assert problem(bad, 400)["field"] == "marker"


async def test_an_overlay_is_removed(bed: Testbed) -> None:
    cluster = await bed.active()
    await _add(bed, cluster["id"], "back")
    response = await bed.http.delete(f"/clusters/{cluster['id']}/overlays/back")
    assert response.status_code == 202
    assert (response.json()["name"], response.json()["state"]) == ("back", "removing")
    await bed.launcher.settle()
    operation = bed.starter.started[-1]
    assert response.headers["Location"] == f"/operations/{operation.id}"
    assert (operation.kind, operation.params) == ("remove-overlay", {"overlay": "back"})


@pytest.mark.parametrize("name", ["nothing", "ingress", "%00", "x" * 80])
async def test_a_missing_overlay_is_a_404(bed: Testbed, name: str) -> None:
    cluster = await bed.active()
    before = bed.rows()
    error = problem(await bed.http.delete(f"/clusters/{cluster['id']}/overlays/{name}"), 404)
    assert error["code"] == "not-found"
    assert bed.rows() == before


async def test_on_kubernetes_an_overlay_is_a_namespace_with_services(bed: Testbed) -> None:
    cluster = await bed.active(type_id=20)
    (pods,) = (await bed.get(f"/clusters/{cluster['id']}/overlays"))["overlays"]
    assert (pods["name"], pods["subnet"], pods["mtu"], pods["services"]) == ("carina", "10.244.0.0/16", 1450, [])
    response = await bed.http.post(
        f"/clusters/{cluster['id']}/overlays", json={"name": "shop", "services": ["web:80", "api:8080"]}
    )
    assert response.status_code == 202
    shop = response.json()
    assert set(shop) == FIELDS
    assert (shop["subnet"], shop["services"], shop["state"]) == (None, ["web:80", "api:8080"], "pending")
    bed.complete(response.headers["Location"].removeprefix("/operations/"))
    for name in ("host", "ingress"):  # names that only Docker keeps for itself
        made = await bed.http.post(f"/clusters/{cluster['id']}/overlays", json={"name": name})
        assert made.status_code == 202
        bed.complete(made.headers["Location"].removeprefix("/operations/"))
        assert (await bed.http.delete(f"/clusters/{cluster['id']}/overlays/{name}")).status_code == 202
        bed.complete((await bed.get(f"/clusters/{cluster['id']}"))["operation_id"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "shop", "subnet": "10.50.0.0/24"}, "subnet"),
        ({"name": "shop", "attachable": True}, "attachable"),
        ({"name": "shop", "attachable": False}, "attachable"),
        ({"name": "shop", "encrypted": False}, "encrypted"),
        ({"name": "Shop"}, "name"),
        ({"name": "a_b"}, "name"),
        ({"name": "a.b"}, "name"),
        ({"name": "-a"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 64}, "name"),
        ({"name": "default"}, "name"),
        ({"name": "kube-system"}, "name"),
        ({"name": "carina-x"}, "name"),
        ({"name": "carina"}, "name"),
        ({"name": "shop", "services": ["web"]}, "services"),
        ({"name": "shop", "services": ["web:0"]}, "services"),
        ({"name": "shop", "services": ["web:65536"]}, "services"),
        ({"name": "shop", "services": ["web:080"]}, "services"),
        ({"name": "shop", "services": ["Web:80"]}, "services"),
        ({"name": "shop", "services": ["1web:80"]}, "services"),
        ({"name": "shop", "services": [f"{'x' * 64}:80"]}, "services"),
        ({"name": "shop", "services": ["web:80", "web:81"]}, "services"),
        ({"name": "shop", "services": [f"s{number}:80" for number in range(17)]}, "services"),
        ({"name": "shop", "services": "web:80"}, "services"),
        ({"name": "shop", "services": [80]}, "services.0"),
    ],
)
async def test_a_bad_namespace_is_named_and_changes_nothing(bed: Testbed, body: dict[str, object], field: str) -> None:
    cluster = await bed.active(type_id=20)
    before = bed.rows()
    error = problem(await bed.http.post(f"/clusters/{cluster['id']}/overlays", json=body), 400)
    assert (error["code"], error["field"]) == ("invalid-input", field)
    assert bed.rows() == before


async def test_the_pod_network_of_a_kubernetes_cluster_stays(bed: Testbed) -> None:
    cluster = await bed.active(type_id=20)
    before = bed.rows()
    error = problem(await bed.http.delete(f"/clusters/{cluster['id']}/overlays/carina"), 409)
    assert error["code"] == "conflict"
    assert bed.rows() == before
