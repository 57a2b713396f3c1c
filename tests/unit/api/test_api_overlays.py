import pytest
from api_testbed import Testbed, problem

FIELDS = {
    "name",
    "subnet",
    "mtu",
    "attachable",
    "encrypted",
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
    assert (overlay["name"], overlay["subnet"], overlay["mtu"]) == ("back", "10.48.7.0/24", 1450)
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
