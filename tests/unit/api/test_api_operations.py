import pytest
from api_testbed import MISSING, Testbed, problem

from domain.errors import CommandFailed

FIELDS = {
    "id",
    "cluster_id",
    "host_id",
    "kind",
    "state",
    "error",
    "workflow_id",
    "run_id",
    "created_at",
    "started_at",
    "ended_at",
}
STEP_FIELDS = {"name", "title", "node", "host", "attempt", "state", "error", "note", "started_at", "ended_at"}


async def test_an_operation_shows_every_attempt_of_every_step(bed: Testbed) -> None:
    cluster = await bed.create()
    operation_id = cluster["operation_id"]
    bed.begin(operation_id)
    bed.records.step_started(operation_id, "1", name="ensure_node", node="demo-1", host="machine", attempt=1)
    failure = CommandFailed("lxc-start ended with status 1").record()
    bed.records.step_ended(operation_id, "1", attempt=1, error=failure, note="A second try helps.")
    bed.records.step_started(operation_id, "1", name="ensure_node", node="demo-1", host="machine", attempt=2)
    operation = await bed.get(f"/operations/{operation_id}")
    assert set(operation) == FIELDS | {"steps", "revision"}
    assert (operation["kind"], operation["state"], operation["cluster_id"]) == ("create", "running", cluster["id"])
    assert operation["run_id"] == f"run-of-{operation_id}"
    first, second = operation["steps"]
    assert set(first) == STEP_FIELDS
    assert (first["note"], second["note"]) == ("A second try helps.", None)
    assert (first["title"], first["node"], first["host"]) == ("Start the node", "demo-1", "machine")
    assert (first["attempt"], first["state"], first["error"]["code"]) == (1, "failed", "command-failed")
    assert first["ended_at"].endswith("Z")
    assert (second["attempt"], second["state"], second["error"], second["ended_at"]) == (2, "running", None, None)


async def test_operations_of_a_cluster_are_listed_by_pages_without_steps(bed: Testbed) -> None:
    cluster = await bed.active()
    await bed.http.delete(f"/clusters/{cluster['id']}")
    first = await bed.get(f"/clusters/{cluster['id']}/operations?limit=1")
    rest = await bed.get(first["links"][0]["href"])
    assert [item["kind"] for item in first["operations"] + rest["operations"]] == ["create", "delete"]
    assert set(first["operations"][0]) == FIELDS
    assert rest["links"] == []


@pytest.mark.parametrize("operation_id", [MISSING, "latest", "%00"])
async def test_a_missing_operation_is_a_404(bed: Testbed, operation_id: str) -> None:
    assert problem(await bed.http.get(f"/operations/{operation_id}"), 404)["code"] == "not-found"
