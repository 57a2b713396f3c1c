"""What each command sends, writes and returns when all is well."""

import json
from pathlib import Path

import pytest
from cli_testbed import Carina
from fake_answers import DEMO_ID, FAILURE, OPERATION_ID, OTHER_ID, SWARM, cluster, node, operation, overlay
from fake_service import FakeService

EVERY_COMMAND_WITH_JSON = {
    "create": ("create", "demo"),
    "create-no-wait": ("create", "demo", "--no-wait"),
    "ls": ("ls",),
    "get": ("get", "demo"),
    "nodes": ("nodes", "demo"),
    "grow": ("grow", "demo"),
    "grow-no-wait": ("grow", "demo", "--no-wait"),
    "resize": ("resize", "demo", "--nodes", "3"),
    "delete": ("delete", "demo", "--yes"),
    "delete-no-wait": ("delete", "demo", "--yes", "--no-wait"),
    "overlays": ("overlays", "demo"),
    "overlays-ls": ("overlays", "ls", "demo"),
    "overlays-add": ("overlays", "add", "demo", "web"),
    "overlays-rm": ("overlays", "rm", "demo", "carina"),
    "images": ("images", "demo"),
    "images-ls": ("images", "ls", "demo"),
    "images-load": ("images", "load", "demo", __file__),
    "images-load-no-wait": ("images", "load", "demo", __file__, "--no-wait"),
    "images-rm": ("images", "rm", "demo", "web:1"),
    "operations": ("operations", "demo"),
    "operation": ("operation", OPERATION_ID),
    "operation-wait": ("operation", OPERATION_ID, "--wait"),
    "credentials": ("credentials", "demo"),
    "env": ("env", "demo"),
    "env-unset": ("env", "--unset"),
    "host-add": ("host", "add", "rack1", "--address", "192.0.2.7", "--yes"),
    "host-add-no-wait": ("host", "add", "rack1", "--address", "192.0.2.7", "--yes", "--no-wait"),
    "host-add-dry-run": ("host", "add", "rack1", "--address", "192.0.2.7", "--yes", "--dry-run"),
    "host-ls": ("host", "ls"),
    "host-get": ("host", "get", "rack1"),
    "host-nodes": ("host", "nodes", "rack1"),
    "host-doctor": ("host", "doctor", "rack1"),
    "host-prepare": ("host", "prepare", "rack1"),
    "host-cordon": ("host", "cordon", "rack1"),
    "host-uncordon": ("host", "uncordon", "rack1"),
    "host-drain": ("host", "drain", "rack1"),
    "host-drain-no-wait": ("host", "drain", "rack1", "--no-wait"),
    "host-remove": ("host", "remove", "rack1"),
    "host-remove-no-wait": ("host", "remove", "rack1", "--force", "--yes", "--no-wait"),
    "publish": ("publish", "demo", "8080:30080"),
    "publish-no-wait": ("publish", "demo", "8080:30080", "--no-wait"),
    "publications": ("publications", "demo"),
    "unpublish": ("unpublish", "demo", "80"),
    "unpublish-no-wait": ("unpublish", "demo", "80", "--no-wait"),
    "types": ("types",),
    "status": ("status",),
}


@pytest.mark.parametrize("args", EVERY_COMMAND_WITH_JSON.values(), ids=EVERY_COMMAND_WITH_JSON.keys())
def test_output_json_writes_one_document_and_nothing_else_to_stdout(carina: Carina, args: tuple[str, ...]) -> None:
    ran = carina(*args, "-o", "json")
    assert ran.code == 0, ran.err
    assert isinstance(json.loads(ran.out), dict)
    assert "\x1b" not in ran.out + ran.err


@pytest.mark.parametrize("args", EVERY_COMMAND_WITH_JSON.values(), ids=EVERY_COMMAND_WITH_JSON.keys())
def test_output_table_is_the_default_and_has_no_colours_in_a_pipe(carina: Carina, args: tuple[str, ...]) -> None:
    ran = carina(*args)
    assert ran.code == 0, ran.err
    assert ran.out
    assert not ran.out.startswith("{")
    assert "\x1b" not in ran.out + ran.err


def test_json_is_the_shape_of_the_api(carina: Carina) -> None:
    assert json.loads(carina("ls", "-o", "json").out) == {"clusters": [cluster()], "links": []}
    assert json.loads(carina("get", "demo", "-o", "json").out) == cluster()
    assert json.loads(carina("nodes", "demo", "-o", "json").out)["nodes"] == [node(), node("demo-2", "worker")]
    assert json.loads(carina("overlays", "demo", "-o", "json").out) == {"overlays": [overlay()], "links": []}
    assert json.loads(carina("operation", OPERATION_ID, "-o", "json").out) == operation()
    assert json.loads(carina("types", "-o", "json").out) == {"cluster_types": [SWARM]}
    deleted = json.loads(carina("delete", "demo", "-y", "-o", "json").out)
    assert deleted == cluster(status="deleted")


def test_columns_of_a_table_stand_under_their_headers(carina: Carina, service: FakeService) -> None:
    service.clusters = [cluster(), cluster("a-much-longer-name", OTHER_ID, endpoint=None, health="unknown")]
    lines = carina("ls").out.splitlines()
    assert len(lines) == 3
    for header in ("STATUS", "NODES", "ENDPOINT"):
        column = lines[0].index(header)
        assert all(line[column - 1] == " " and line[column] != " " for line in lines)
    assert all(line == line.rstrip() for line in lines)


def test_create_sends_what_was_asked_and_follows_it(carina: Carina, service: FakeService) -> None:
    ran = carina("create", "demo", "--nodes", "3", "--retain", "--idempotency-key", "k-1")
    assert ran.code == 0
    [(_, path, headers, body)] = service.sent("POST", "/clusters")
    assert path == "/clusters?retain=true"
    assert body == {"name": "demo", "cluster_type_id": 22, "node_count": 3}
    assert headers["Idempotency-Key"] == "k-1"
    assert headers["API-Version"] == "rax:container 1.0"
    assert "demo is active: 3 nodes, tcp://10.64.0.10:2376, in 4.0 s" in ran.out
    assert 'eval "$(carina env demo)"; docker info' in ran.out
    assert service.connections == 1


def test_create_makes_a_key_of_its_own_each_time(carina: Carina, service: FakeService) -> None:
    carina("create", "demo")
    carina("create", "demo")
    keys = {headers["Idempotency-Key"] for _, _, headers, _ in service.sent("POST", "/clusters")}
    assert len(keys) == 2


def test_create_sends_the_same_key_again_when_the_connection_breaks(carina: Carina, service: FakeService) -> None:
    service.drops[("POST", "/clusters")] = 2
    assert carina("create", "demo").code == 0
    sent = service.sent("POST", "/clusters")
    assert len(sent) == 3
    assert len({headers["Idempotency-Key"] for _, _, headers, _ in sent}) == 1


@pytest.mark.parametrize("wanted", ["swarm", "SWARM", "22", "docker swarm 26.1 on lxc"])
def test_create_takes_a_type_by_orchestrator_id_or_name(carina: Carina, service: FakeService, wanted: str) -> None:
    assert carina("create", "demo", "--type", wanted).code == 0
    assert service.sent("POST", "/clusters")[0][3]["cluster_type_id"] == 22


def test_create_names_the_types_when_it_knows_no_such(carina: Carina, service: FakeService) -> None:
    ran = carina("create", "demo", "--type", "nomad")
    assert ran.code == 2
    assert "swarm (id 22" in ran.err
    assert not service.sent("POST", "/clusters")


def test_no_wait_returns_at_once_and_says_how_to_follow(carina: Carina, service: FakeService) -> None:
    service.operation_answers = [operation("running")]
    ran = carina("create", "demo", "--no-wait")
    assert ran.code == 0
    assert f"carina operation {OPERATION_ID} --wait" in ran.out
    assert not service.sent("GET", f"/operations/{OPERATION_ID}")


def test_grow_adds_to_the_nodes_that_there_are(carina: Carina, service: FakeService) -> None:
    assert carina("grow", "demo", "--by", "2").code == 0
    assert carina("grow", "demo").code == 0
    tasks = [body for _, _, _, body in service.sent("POST", f"/clusters/{DEMO_ID}/tasks")]
    assert tasks == [{"type": "resize", "input": {"node_count": count}} for count in (4, 3)]


def test_resize_says_when_there_is_nothing_to_do(carina: Carina, service: FakeService) -> None:
    service.accepts_operation = False
    ran = carina("resize", "demo", "--nodes", "2")
    assert (ran.code, ran.out) == (0, "demo has 2 nodes already\n")


@pytest.mark.parametrize("named", ["demo", "DEMO", DEMO_ID, DEMO_ID.upper()])
def test_a_cluster_is_found_by_name_or_id_in_any_case(carina: Carina, named: str) -> None:
    assert json.loads(carina("get", named, "-o", "json").out)["id"] == DEMO_ID


def test_a_cluster_named_like_an_id_is_found(carina: Carina, service: FakeService) -> None:
    service.clusters = [cluster(OTHER_ID)]
    assert json.loads(carina("get", OTHER_ID, "-o", "json").out)["id"] == DEMO_ID


def test_ls_reads_every_page(carina: Carina, service: FakeService) -> None:
    service.clusters = [cluster(f"c{n}", f"0193b0a0-0000-7000-8000-0000000001{n:02}") for n in range(5)]
    service.page = 2
    listed = json.loads(carina("ls", "-o", "json").out)["clusters"]
    assert [each["name"] for each in listed] == ["c0", "c1", "c2", "c3", "c4"]
    assert len(service.requests) == 3


def test_get_shows_conditions_and_the_error_with_its_remedy(carina: Carina, service: FakeService) -> None:
    condition = {"type": "no-ipvs", "message": "Published ports hang.", "since": "2026-01-01T00:00:00Z", "node": None}
    service.clusters = [cluster(status="error", error=FAILURE, conditions=[condition])]
    out = carina("get", "demo").out
    assert "Published ports hang." in out
    assert "The container engine of a node never answered (docker-silent)" in out
    assert "What to do: Look at docker.service's journal" in out


def test_what_could_steer_a_terminal_is_not_written(carina: Carina, service: FakeService) -> None:
    service.clusters = [cluster(status="error", error={**FAILURE, "detail": "\x1b]0;owned\x07 \x1b[31mred"})]
    out = carina("get", "demo").out
    assert "\x1b" not in out
    assert "\x07" not in out


def test_delete_asks_and_without_a_terminal_needs_yes(
    carina: Carina, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    ran = carina("delete", "demo")
    assert ran.code == 2
    assert "--yes" in ran.err
    assert not service.sent("DELETE", f"/clusters/{DEMO_ID}")


def test_delete_with_force_cancels_and_forgets_the_credentials(
    carina: Carina, service: FakeService, home: Path
) -> None:
    carina("credentials", "demo")
    kept = home / ".carina" / "clusters" / DEMO_ID
    assert kept.is_dir()
    assert carina("delete", "demo", "--yes", "--force").code == 0
    assert service.sent("DELETE", f"/clusters/{DEMO_ID}")[0][1].endswith("?force=true")
    assert not kept.exists()


def test_overlays_add_sends_only_what_was_said(carina: Carina, service: FakeService) -> None:
    assert carina("overlays", "add", "demo", "web").code == 0
    assert (
        carina("overlays", "add", "demo", "db", "--subnet", "10.9.0.0/24", "--encrypted", "--no-attachable").code == 0
    )
    bodies = [body for _, _, _, body in service.sent("POST", f"/clusters/{DEMO_ID}/overlays")]
    assert bodies == [
        {"name": "web"},
        {"name": "db", "attachable": False, "encrypted": True, "subnet": "10.9.0.0/24"},
    ]


def test_overlays_rm_quotes_the_name(carina: Carina, service: FakeService) -> None:
    carina("overlays", "rm", "demo", "a/b")
    assert [path for method, path, _, _ in service.requests if method == "DELETE"] == [
        f"/clusters/{DEMO_ID}/overlays/a%2Fb"
    ]


def test_operations_of_a_deleted_cluster_are_listed_by_its_id(carina: Carina, service: FakeService) -> None:
    service.clusters = []
    ran = carina("operations", DEMO_ID)
    assert ran.code == 0
    assert OPERATION_ID in ran.out


def test_status_needs_no_token_and_fails_when_a_part_is_missing(
    carina: Carina, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CARINA_TOKEN")
    assert carina("status").code == 0
    service.checks["temporal"] = "unavailable"
    ran = carina("status")
    assert ran.code == 1
    assert "unavailable" in ran.out
