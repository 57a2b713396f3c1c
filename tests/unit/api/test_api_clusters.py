import json
import re
import uuid

import pytest
from api_testbed import HEADERS, MISSING, Testbed, problem

from domain.errors import StepFailed

CONTRACT_FIELDS = {"id", "name", "status", "node_count", "cluster_type", "created_at", "updated_at"}
OWN_FIELDS = {"health", "conditions", "capabilities", "options", "error", "endpoint", "subnet", "operation_id"}
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def test_create_answers_at_once_with_the_cluster_and_where_its_operation_is(bed: Testbed) -> None:
    response = await bed.http.post("/clusters", json={"name": "demo", "cluster_type_id": 22, "node_count": 3})
    assert response.status_code == 202
    cluster = response.json()
    assert set(cluster) == CONTRACT_FIELDS | OWN_FIELDS
    assert (cluster["name"], cluster["status"], cluster["node_count"]) == ("demo", "creating", 3)
    assert cluster["cluster_type"] == {
        "id": 22,
        "name": "Docker Swarm 26.1 on LXC",
        "coe": "swarm",
        "version": "26.1",
        "host_type": "lxc",
        "active": True,
        "size": {"cpus": 0.0, "memory_bytes": 0, "disk_bytes": 0},
        "requires": [],
    }
    assert str(uuid.UUID(cluster["id"])) == cluster["id"]
    assert RFC3339.fullmatch(cluster["created_at"])
    assert RFC3339.fullmatch(cluster["updated_at"])
    assert response.headers["Location"] == f"/operations/{cluster['operation_id']}"
    await bed.launcher.settle()
    (operation,) = bed.starter.started
    assert operation.id == cluster["operation_id"]
    assert operation.params == {"node_count": 3, "retain": False, "overlay": "carina"}


async def test_create_takes_what_old_clients_send(bed: Testbed) -> None:
    response = await bed.http.post(
        "/clusters",
        content=b'{"name": "old", "cluster_type_id": "22", "flavor": "from another time"}',
        headers={**HEADERS, "Connection": "close", "Accept-Encoding": "gzip", "User-Agent": "python-requests/2.7"},
    )
    assert response.status_code == 202
    assert response.json()["cluster_type"]["id"] == 22
    assert response.json()["node_count"] == 1


async def test_get_takes_the_headers_of_old_clients(bed: Testbed) -> None:
    cluster = await bed.create()
    response = await bed.http.get(f"/clusters/{cluster['id']}", headers={**HEADERS, "Connection": "close"})
    assert response.status_code == 200
    assert response.json() == cluster


async def test_create_is_accepted_while_temporal_is_away(bed: Testbed) -> None:
    bed.starter.reachable = False
    cluster = await bed.create()
    await bed.launcher.settle()
    assert bed.starter.started == []
    assert (await bed.get(f"/operations/{cluster['operation_id']}"))["state"] == "pending"


async def test_create_does_not_wait_for_a_temporal_that_hangs(bed: Testbed) -> None:
    bed.starter.hangs = True
    cluster = await bed.create()
    await bed.launcher.settle()
    assert cluster["status"] == "creating"
    assert bed.starter.started == []


async def test_retain_reaches_the_operation(bed: Testbed) -> None:
    response = await bed.http.post("/clusters?retain=true", json={"name": "kept", "cluster_type_id": 22})
    assert response.status_code == 202
    await bed.launcher.settle()
    assert bed.starter.started[0].params == {"node_count": 1, "retain": True, "overlay": "carina"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "", "cluster_type_id": 22}, "name"),
        ({"name": "x" * 200, "cluster_type_id": 22}, "name"),
        ({"name": "white space", "cluster_type_id": 22}, "name"),
        ({"name": "-edge", "cluster_type_id": 22}, "name"),
        ({"name": "line\n", "cluster_type_id": 22}, "name"),
        ({"name": "half a pair \ud800", "cluster_type_id": 22}, "name"),
        ({"name": "nul\x00", "cluster_type_id": 22}, "name"),
        ({"name": 7, "cluster_type_id": 22}, "name"),
        ({"name": None, "cluster_type_id": 22}, "name"),
        ({"cluster_type_id": 22}, "name"),
        ({"name": "demo"}, "cluster_type_id"),
        ({"name": "demo", "cluster_type_id": 99}, "cluster_type_id"),
        ({"name": "demo", "cluster_type_id": -22}, "cluster_type_id"),
        ({"name": "demo", "cluster_type_id": "swarm"}, "cluster_type_id"),
        ({"name": "demo", "cluster_type_id": "2²"}, "cluster_type_id"),
        ({"name": "demo", "cluster_type_id": "9" * 5000}, "cluster_type_id"),
        ({"name": "demo", "cluster_type_id": True}, "cluster_type_id"),
        ({"name": "demo", "cluster_type_id": 22.0}, "cluster_type_id"),
        ({"name": "demo", "cluster_type_id": None}, "cluster_type_id"),
        ({"name": "demo", "cluster_type_id": [22]}, "cluster_type_id"),
        ({"name": "demo", "cluster_type_id": 22, "node_count": 0}, "node_count"),
        ({"name": "demo", "cluster_type_id": 22, "node_count": -1}, "node_count"),
        ({"name": "demo", "cluster_type_id": 22, "node_count": 101}, "node_count"),
        ({"name": "demo", "cluster_type_id": 22, "node_count": 10**30}, "node_count"),
        ({"name": "demo", "cluster_type_id": 22, "node_count": True}, "node_count"),
        ({"name": "demo", "cluster_type_id": 22, "node_count": 1.5}, "node_count"),
        ({"name": "demo", "cluster_type_id": 22, "node_count": "3"}, "node_count"),
        ({"name": "demo", "cluster_type_id": 22, "node_count": None}, "node_count"),
    ],
)
async def test_create_names_the_field_at_fault_and_changes_nothing(
    bed: Testbed, body: dict[str, object], field: str
) -> None:
    before = bed.rows()
    error = problem(await bed.http.post("/clusters", content=json.dumps(body)), 400)
    assert (error["code"], error["field"]) == ("invalid-input", field)
    await bed.launcher.settle()
    assert bed.rows() == before
    assert bed.starter.started == []


async def test_every_field_at_fault_is_named(bed: Testbed) -> None:
    response = await bed.http.post("/clusters", json={"name": 1, "node_count": "x"})
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == ["name", "cluster_type_id", "node_count"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"name": "demo",}',
        b"name=demo",
        b"[]",
        b'"demo"',
        b"null",
        b"\xff\xfe",
        b"[" * 20_000,
        b'{"name": "demo", "cluster_type_id": 22, "node_count": ' + b"9" * 5000 + b"}",
    ],
)
async def test_malformed_json_changes_nothing(bed: Testbed, body: bytes) -> None:
    before = bed.rows()
    error = problem(await bed.http.post("/clusters", content=body), 400)
    assert error["code"] == "invalid-input"
    assert "Traceback" not in error["detail"]
    assert bed.rows() == before


async def test_a_form_is_no_json(bed: Testbed) -> None:
    before = bed.rows()
    response = await bed.http.post(
        "/clusters",
        content=b'{"name": "demo", "cluster_type_id": 22}',
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert "Content-Type" in problem(response, 400)["remedy"]
    assert bed.rows() == before


async def test_a_name_is_taken_in_any_case(bed: Testbed) -> None:
    first = await bed.create("Demo")
    before = bed.rows()
    error = problem(await bed.http.post("/clusters", json={"name": "dEMO", "cluster_type_id": 22}), 409)
    assert (error["code"], error["field"]) == ("name-taken", "name")
    assert first["id"] in error["detail"]
    assert bed.rows() == before


async def test_the_same_key_and_request_give_the_same_cluster(bed: Testbed) -> None:
    first = await bed.create("demo", **{"Idempotency-Key": "k-1"})
    again = await bed.http.post(
        "/clusters",
        content=b'{"node_count":1,  "cluster_type_id": "22", "name": "demo", "unknown": 1}',
        headers={"Idempotency-Key": "k-1"},
    )
    assert again.status_code == 202
    assert again.json() == first
    assert again.headers["Location"] == f"/operations/{first['operation_id']}"
    await bed.launcher.settle()
    assert len(bed.starter.started) == 1
    assert len((await bed.get("/clusters"))["clusters"]) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/clusters", {"name": "other", "cluster_type_id": 22}),
        ("/clusters", {"name": "demo", "cluster_type_id": 22, "node_count": 2}),
        ("/clusters?retain=true", {"name": "demo", "cluster_type_id": 22}),
    ],
)
async def test_the_same_key_with_another_request_is_refused(bed: Testbed, path: str, body: dict[str, object]) -> None:
    await bed.create("demo", **{"Idempotency-Key": "k-1"})
    before = bed.rows()
    error = problem(await bed.http.post(path, json=body, headers={"Idempotency-Key": "k-1"}), 409)
    assert error["code"] == "idempotency-key-reused"
    assert bed.rows() == before


@pytest.mark.parametrize("key", ["", "k" * 256, "tab\tinside"])
async def test_a_key_that_can_not_be_kept_is_refused(bed: Testbed, key: str) -> None:
    before = bed.rows()
    response = await bed.http.post(
        "/clusters", json={"name": "demo", "cluster_type_id": 22}, headers={"Idempotency-Key": key}
    )
    assert problem(response, 400)["field"] == "Idempotency-Key"
    assert bed.rows() == before


async def test_clusters_are_listed_by_pages(bed: Testbed) -> None:
    made = [(await bed.create(f"c{number}"))["id"] for number in range(5)]
    seen: list[str] = []
    path: str | None = "/clusters?limit=2"
    while path:
        page = await bed.get(path)
        assert len(page["clusters"]) <= 2
        seen += [cluster["id"] for cluster in page["clusters"]]
        path = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
    assert seen == made
    assert (await bed.get("/clusters"))["links"] == []


async def test_a_cluster_is_found_by_its_name_in_any_case(bed: Testbed) -> None:
    await bed.create("one")
    two = await bed.create("Two")
    assert [found["id"] for found in (await bed.get("/clusters?name=tWO"))["clusters"]] == [two["id"]]
    assert (await bed.get("/clusters?name=three"))["clusters"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=1001", "limit"),
        ("limit=many", "limit"),
        ("marker=nowhere", "marker"),
        ("marker=" + "x" * 100, "marker"),
        ("name=%00", "name"),
        ("name=", "name"),
    ],
)
async def test_a_bad_query_is_named(bed: Testbed, query: str, field: str) -> None:
    assert problem(await bed.http.get(f"/clusters?{query}"), 400)["field"] == field


@pytest.mark.parametrize("cluster_id", [MISSING, "demo", "1", "%00", MISSING + "0", MISSING.replace("-", "")])
async def test_an_id_that_is_none_is_a_404_like_one_that_is_missing(bed: Testbed, cluster_id: str) -> None:
    assert problem(await bed.http.get(f"/clusters/{cluster_id}"), 404)["code"] == "not-found"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("DELETE", "", None),
        ("POST", "/tasks", {"type": "resize", "input": {"node_count": 2}}),
        ("GET", "/nodes", None),
        ("GET", "/operations", None),
        ("GET", "/overlays", None),
        ("POST", "/overlays", {"name": "back"}),
        ("DELETE", "/overlays/carina", None),
        ("GET", "/credentials/zip", None),
        ("GET", "/images", None),
        ("POST", "/images", None),
        ("DELETE", f"/images/sha256:{'0' * 64}", None),
    ],
)
async def test_a_missing_cluster_is_a_404_on_every_path(
    bed: Testbed, method: str, path: str, body: dict[str, object] | None
) -> None:
    before = bed.rows()
    error = problem(await bed.http.request(method, f"/clusters/{MISSING}{path}", json=body), 404)
    assert error["code"] == "not-found"
    assert bed.rows() == before


async def test_an_id_is_taken_in_capitals(bed: Testbed) -> None:
    cluster = await bed.create()
    assert (await bed.get(f"/clusters/{cluster['id'].upper()}"))["id"] == cluster["id"]


async def test_an_active_cluster_shows_its_endpoint_subnet_and_count(bed: Testbed) -> None:
    cluster = await bed.active(node_count=3)
    assert (cluster["status"], cluster["node_count"], cluster["operation_id"]) == ("active", 3, None)
    assert cluster["endpoint"] == "tcp://10.64.0.10:2376"
    assert cluster["subnet"] == "10.64.0.0/24"
    assert cluster["error"] is None


async def test_nodes_are_listed_by_pages(bed: Testbed) -> None:
    cluster = await bed.active(node_count=3)
    first = await bed.get(f"/clusters/{cluster['id']}/nodes?limit=2")
    rest = await bed.get(first["links"][0]["href"])
    nodes = first["nodes"] + rest["nodes"]
    assert rest["links"] == []
    assert [node["role"] for node in nodes] == ["manager", "worker", "worker"]
    assert set(nodes[0]) == {"id", "name", "role", "state", "address", "host", "container", "endpoint", "created_at"}
    assert nodes[0]["host"] == "machine"


async def test_a_failed_create_says_why(bed: Testbed) -> None:
    cluster = await bed.create()
    bed.begin(cluster["operation_id"])
    record = StepFailed("node demo-1 never answered").record()
    bed.records.fail_operation(cluster["operation_id"], record, cancelled=False)
    shown = await bed.get(f"/clusters/{cluster['id']}")
    assert shown["status"] == "error"
    assert shown["error"] == {
        "code": "step-failed",
        "title": record.title,
        "detail": "node demo-1 never answered",
        "remedy": record.remedy,
    }


@pytest.mark.parametrize(("count", "params"), [(5, {"add": 3}), (1, {"remove": 1})])
async def test_resize_starts_a_grow_or_a_shrink(bed: Testbed, count: int, params: dict[str, int]) -> None:
    cluster = await bed.active(node_count=2)
    bed.starter.started.clear()
    task = {"type": "resize", "input": {"node_count": count}}
    response = await bed.http.post(f"/clusters/{cluster['id']}/tasks", json=task)
    assert response.status_code == 202
    assert response.json()["status"] == "resizing"
    assert response.headers["Location"] == f"/operations/{response.json()['operation_id']}"
    await bed.launcher.settle()
    assert bed.starter.started[-1].params == params


async def test_resize_to_the_same_count_does_nothing(bed: Testbed) -> None:
    cluster = await bed.active(node_count=2)
    before = bed.rows()
    response = await bed.http.post(
        f"/clusters/{cluster['id']}/tasks", json={"type": "resize", "input": {"node_count": 2}}
    )
    assert response.status_code == 202
    assert response.json() == cluster
    assert "Location" not in response.headers
    assert bed.rows() == before


@pytest.mark.parametrize(
    ("task", "field"),
    [
        ({"type": "resize", "input": {"node_count": 0}}, "input.node_count"),
        ({"type": "resize", "input": {"node_count": -3}}, "input.node_count"),
        ({"type": "resize", "input": {"node_count": 100_000}}, "input.node_count"),
        ({"type": "resize", "input": {"node_count": True}}, "input.node_count"),
        ({"type": "resize", "input": {"node_count": "3"}}, "input.node_count"),
        ({"type": "resize", "input": {}}, "input.node_count"),
        ({"type": "resize", "input": 3}, "input"),
        ({"type": "resize"}, "input"),
        ({"type": "explode", "input": {"node_count": 2}}, "type"),
        ({"input": {"node_count": 2}}, "type"),
    ],
)
async def test_a_bad_task_is_named_and_changes_nothing(bed: Testbed, task: dict[str, object], field: str) -> None:
    cluster = await bed.active()
    before = bed.rows()
    error = problem(await bed.http.post(f"/clusters/{cluster['id']}/tasks", json=task), 400)
    assert error["field"] == field
    assert bed.rows() == before


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "", None),
        ("POST", "/tasks", {"type": "resize", "input": {"node_count": 2}}),
        ("POST", "/overlays", {"name": "back"}),
        ("DELETE", "/overlays/carina", None),
        ("POST", "/images", None),
    ],
)
async def test_a_change_to_a_busy_cluster_names_the_operation(
    bed: Testbed, method: str, path: str, body: dict[str, object] | None
) -> None:
    cluster = await bed.create()
    before = bed.rows()
    error = problem(await bed.http.request(method, f"/clusters/{cluster['id']}{path}", json=body), 409)
    assert error["code"] == "cluster-busy"
    assert cluster["operation_id"] in error["detail"]
    assert bed.rows() == before


async def test_delete_answers_with_the_cluster_deleting_and_ends_in_404(bed: Testbed) -> None:
    cluster = await bed.active()
    response = await bed.http.delete(f"/clusters/{cluster['id']}")
    assert response.status_code == 202
    assert (response.json()["id"], response.json()["status"]) == (cluster["id"], "deleting")
    operation_id = response.headers["Location"].removeprefix("/operations/")
    bed.begin(operation_id)
    bed.records.complete_operation(operation_id)
    assert problem(await bed.http.get(f"/clusters/{cluster['id']}"), 404)["code"] == "not-found"
    assert (await bed.get("/clusters"))["clusters"] == []
    kinds = [item["kind"] for item in (await bed.get(f"/clusters/{cluster['id']}/operations"))["operations"]]
    assert kinds == ["create", "delete"]


async def test_a_name_is_free_again_after_the_delete(bed: Testbed) -> None:
    cluster = await bed.active()
    response = await bed.http.delete(f"/clusters/{cluster['id']}")
    operation_id = response.json()["operation_id"]
    bed.begin(operation_id)
    bed.records.complete_operation(operation_id)
    assert (await bed.create("demo"))["id"] != cluster["id"]


async def test_a_forced_delete_cancels_what_runs_and_starts_once_that_has_closed(bed: Testbed) -> None:
    cluster = await bed.create()
    await bed.launcher.settle()
    bed.begin(cluster["operation_id"])
    response = await bed.http.delete(f"/clusters/{cluster['id']}?force=true")
    assert response.status_code == 202
    assert response.json()["status"] == "deleting"
    assert [operation.kind for operation in bed.starter.started] == ["create"]
    bed.starter.closed.set()
    await bed.launcher.settle()
    assert [operation.id for operation in bed.starter.cancelled] == [cluster["operation_id"]]
    assert [operation.kind for operation in bed.starter.started] == ["create", "delete"]


async def test_a_forced_delete_is_accepted_while_temporal_is_away(bed: Testbed) -> None:
    cluster = await bed.create()
    await bed.launcher.settle()
    bed.starter.reachable = False
    response = await bed.http.delete(f"/clusters/{cluster['id']}?force=true")
    await bed.launcher.settle()
    assert response.status_code == 202
    assert (await bed.get(response.headers["Location"]))["state"] == "pending"
    assert (await bed.get(f"/operations/{cluster['operation_id']}"))["state"] == "cancelling"


async def test_cluster_types_are_listed(bed: Testbed) -> None:
    kubernetes, swarm = (await bed.get("/cluster_types"))["cluster_types"]
    assert swarm == {
        "id": 22,
        "name": "Docker Swarm 26.1 on LXC",
        "coe": "swarm",
        "version": "26.1",
        "host_type": "lxc",
        "active": True,
        "size": {"cpus": 0.0, "memory_bytes": 0, "disk_bytes": 0},
        "requires": [],
    }
    assert (kubernetes["id"], kubernetes["coe"], kubernetes["version"]) == (20, "kubernetes", "1.35.4")
