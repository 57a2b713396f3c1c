"""Changes that meet each other: a busy cluster, a forced delete, a delete sent twice, a request sent twice."""

import asyncio
import os
import signal
from uuid import uuid4

import machine
from installation import TYPES, Installation, until
from machine import is_alive
from people import every_kind
from records import NOTHING, held_by


def _has_begun(carina: Installation, operation: str, step: str) -> bool:
    return any(found["name"] == step for found in carina.get(f"/operations/{operation}")["steps"])


@every_kind
async def test_a_busy_cluster_names_the_operation_and_a_forced_delete_undoes_it(
    carina: Installation, kind: str
) -> None:
    cluster, create = carina.create("busy", 2, kind=kind)
    path = f"/clusters/{cluster['id']}"
    await until(lambda: _has_begun(carina, create, "ensure_node"), 30, "a node is being made")
    resize = {"type": "resize", "input": {"node_count": 3}}
    for refused in (carina.call("DELETE", path), carina.call("POST", f"{path}/tasks", json=resize)):
        assert refused.status_code == 409
        error = refused.json()["errors"][0]
        assert error["code"] == "cluster-busy"
        assert create in error["detail"]

    delete = carina.delete(cluster["id"], query="?force=true")
    await carina.succeeded(delete)
    cancelled = carina.get(f"/operations/{create}")
    assert (cancelled["state"], cancelled["error"]["code"]) == ("cancelled", "operation-cancelled")
    assert carina.call("GET", path).status_code == 404
    assert not [name for name in machine.containers(carina) if "-busy-" in name]
    assert held_by(carina, cluster["id"]) == NOTHING


@every_kind
async def test_a_delete_sent_twice_is_one_operation(carina: Installation, kind: str) -> None:
    cluster = await carina.active("twice", 1, kind=kind)
    first, second = carina.delete(cluster["id"]), carina.delete(cluster["id"])
    assert first == second
    await carina.succeeded(first)
    assert carina.call("DELETE", f"/clusters/{cluster['id']}").status_code == 404


@every_kind
async def test_an_idempotency_key_holds_over_a_killed_service(carina: Installation, kind: str) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    body = {"name": "once", "cluster_type_id": TYPES[kind], "node_count": 1}
    carina.add_release()
    first = carina.call("POST", "/clusters", json=body, headers=headers)
    pid = carina.service_pid()
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not is_alive(pid), 10, "the service is gone")
    await carina.up()

    again = carina.call("POST", "/clusters", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["Location"] == first.headers["Location"]
    other = carina.call("POST", "/clusters", json=body | {"node_count": 2}, headers=headers)
    assert (other.status_code, other.json()["errors"][0]["code"]) == (409, "idempotency-key-reused")

    await carina.succeeded(first.headers["Location"].rpartition("/")[2])
    assert [c["name"] for c in carina.get("/clusters?name=once")["clusters"]] == ["once"]
    await carina.deleted(first.json()["id"])


@every_kind
async def test_the_command_line_creates_grows_and_deletes(carina: Installation, kind: str) -> None:
    carina.add_release()

    def story() -> None:
        carina.carina("create", "typed", "--type", kind, "--nodes", "1", "--wait")
        carina.carina("grow", "typed", "--by", "1", "--wait")
        assert carina.carina("nodes", "typed").stdout.count("active") == 2
        assert carina.carina("create", "typed", check=False).returncode == 4, "the name is taken"
        carina.carina("delete", "typed", "--yes", "--wait")
        assert carina.carina("get", "typed", check=False).returncode == 3, "it is gone"

    await asyncio.to_thread(story)
