"""Hosts over HTTP: seen, added once their key is confirmed, changed and removed; by administrators alone."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from api_testbed import FINGERPRINT, HOST_KEY, MISSING, Testbed, problem
from sqlalchemy import text

from api.host_bodies import HostIn, HostTaskIn, PublicationIn
from api.services import hosts as service
from domain.errors import HostAccessDenied, HostKeyChanged, HostUnreachable
from domain.hosts import Check, CheckState, HostReport
from domain.operations import OperationKind
from domain.sizes import Size

ODD: list[Any] = [
    *(None, True, 0, -1, 22, 80, 65536, 2**63, 10**300, 1.5, 1e308, [], {}, ["x"], {"force": True}),
    *("", " ", "a", "a" * 5000, "\x00", "\ud800", "\U0001f98a", "\u0661\u0662", "\n", "%s", "' OR 1=1 --", "../../etc"),
    *("192.0.2.7", "::1", "local", HOST_KEY, "ssh-ed25519 AAAA", "/dev/sda", "/", "udp", "cordon", "direct"),
]
BODY = {"name": "rack1", "address": "192.0.2.7", "host_key": HOST_KEY}


async def test_the_services_own_machine_is_a_host(bed: Testbed) -> None:
    (host,) = (await bed.get("/hosts"))["hosts"]
    assert (host["name"], host["address"], host["state"], host["endpoint"]) == ("machine", "local", "ready", "direct")
    assert (host["network"], host["node_limit"], host["node_count"]) == ("10.64.0.0/16", 64, 0)
    assert (host["cordoned"], host["error"], host["operation_id"], host["fingerprint"]) == (False, None, None, "")
    assert host["unreachable"] is None
    assert await bed.get(f"/hosts/{host['id']}") == host


async def test_a_host_that_does_not_answer_says_since_when_and_why(bed: Testbed) -> None:
    (host,) = (await bed.get("/hosts"))["hosts"]
    bed.records.record_answers({host["id"]: "no route to host"})
    unreachable = (await bed.get(f"/hosts/{host['id']}"))["unreachable"]
    assert (unreachable["reason"], unreachable["since"] >= host["updated_at"]) == ("no route to host", True)


async def test_a_host_is_added_and_its_preparation_started(bed: Testbed) -> None:
    body = {**BODY, "user": "ops", "port": 2222, "identity": "/root/.ssh/rack", "zone": "row-a", "device": "/dev/sdb"}
    response = await bed.http.post("/hosts", json=body)
    assert response.status_code == 202
    host = response.json()
    assert {key: host[key] for key in body} == body
    assert (host["state"], host["endpoint"], host["fingerprint"]) == ("preparing", "published", FINGERPRINT)
    assert (host["size"], host["free"]) == ({"cpus": 0, "memory_bytes": 0, "disk_bytes": 0},) * 2
    assert response.headers["Location"] == f"/operations/{host['operation_id']}"
    await bed.launcher.settle()
    (started,) = bed.starter.started
    assert (started.kind, started.host_id, started.params) == ("prepare-host", host["id"], {"host_name": "rack1"})
    operation = await bed.get(f"/operations/{host['operation_id']}")
    assert (operation["host_id"], operation["cluster_id"], operation["state"]) == (host["id"], None, "pending")
    stored = bed.records.host(host["id"])
    assert (stored.address, stored.login.port, stored.root) == ("192.0.2.7", 2222, "/var/lib/carina-host")
    assert bed.probes.looked_at == []


async def test_a_host_whose_key_nobody_confirmed_is_not_added(bed: Testbed) -> None:
    before = bed.rows()
    body = {**BODY, "host_key": None, "port": 2222}
    error = problem(await bed.http.post("/hosts", json=body), 409)
    assert (error["code"], error["host_key"], error["field"]) == ("host-key-unconfirmed", HOST_KEY, "host_key")
    assert FINGERPRINT in error["detail"]
    assert bed.probes.looked_at == [("192.0.2.7", 2222)]
    assert bed.rows() == before
    confirmed = await bed.http.post("/hosts", json={**body, "host_key": error["host_key"]})
    assert confirmed.status_code == 202


async def test_other_errors_have_no_host_key(bed: Testbed) -> None:
    assert "host_key" not in problem(await bed.http.get(f"/hosts/{MISSING}"), 404)


async def test_a_machine_that_does_not_answer_is_not_added(bed: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    bed.probes.failure = HostUnreachable("Nobody answers at 192.0.2.7.")
    body = {"name": "rack1", "address": "192.0.2.7"}
    assert problem(await bed.http.post("/hosts", json=body), 502)["code"] == "host-unreachable"
    monkeypatch.setattr(service, "KEY_TIMEOUT_S", 0.01)
    bed.probes.hangs = True
    error = problem(await bed.http.post("/hosts", json=body), 502)
    assert (error["code"], "192.0.2.7" in error["detail"]) == ("host-unreachable", True)


@pytest.mark.parametrize(
    ("body", "code", "field", "named"),
    [
        ({"name": "RACK1"}, "name-taken", "name", "rack1"),
        ({"name": "machine"}, "name-taken", "name", "machine"),
        ({"address": "Rack1.Example.org."}, "conflict", "address", "rack1"),
        ({"fabric_address": "192.0.2.1"}, "conflict", "fabric_address", "rack1"),
    ],
)
async def test_what_another_host_has_is_refused_before_the_machine_is_asked(
    bed: Testbed, body: dict[str, str], code: str, field: str, named: str
) -> None:
    await bed.ready_host("rack1")
    before = bed.rows()
    wanted = {"name": "rack2", "address": "192.0.2.8", **body}
    error = problem(await bed.http.post("/hosts", json=wanted), 409)
    assert (error["code"], error["field"], named in error["detail"]) == (code, field, True)
    assert bed.rows() == before
    assert bed.probes.looked_at == []


async def test_one_address_may_have_hosts_on_several_ports(bed: Testbed) -> None:
    first = await bed.add_host("rack1", address="gate.example.org", port=2201)
    second = await bed.add_host("rack2", address="gate.example.org", port=2202)
    assert [(host["address"], host["port"]) for host in (first, second)] == [
        ("gate.example.org", 2201),
        ("gate.example.org", 2202),
    ]
    again = await bed.http.post("/hosts", json={**BODY, "name": "x", "address": "gate.example.org", "port": 2201})
    assert problem(again, 409)["field"] == "address"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "a b", "address": "192.0.2.7"}, "name"),
        ({"name": "a", "address": "local"}, "address"),
        ({"name": "a"}, "address"),
        ({"name": "a", "address": 7}, "address"),
        ({"name": "a", "address": "192.0.2.7", "port": "22"}, "port"),
        ({"name": "a", "address": "192.0.2.7", "port": 0}, "port"),
        ({"name": "a", "address": "192.0.2.7", "port": True}, "port"),
        ({"name": "a", "address": "192.0.2.7", "identity": "key"}, "identity"),
        ({"name": "a", "address": "192.0.2.7", "host_key": "key"}, "host_key"),
        ({"name": "a", "address": "192.0.2.7", "endpoint": "both"}, "endpoint"),
        ({"name": "a", "address": "192.0.2.7", "device": "sdb"}, "device"),
        ({"name": "a", "address": "192.0.2.7", "fabric_address": "::1"}, "fabric_address"),
        ({"name": "a", "address": "192.0.2.7", "adress": "x"}, "adress"),
    ],
)
@pytest.mark.parametrize("path", ["/hosts", "/hosts/preview"])
async def test_a_wrong_field_is_named(bed: Testbed, path: str, body: dict[str, Any], field: str) -> None:
    before = bed.rows()
    assert problem(await bed.http.post(path, json=body), 400)["field"] == field
    assert bed.rows() == before
    assert (bed.probes.looked_at, bed.probes.previewed) == ([], [])


async def test_a_preview_measures_says_what_would_change_and_keeps_nothing(bed: Testbed) -> None:
    check = Check("ipvs", CheckState.DEGRADED, "no ip_vs", "VIPs don't answer", "modprobe ip_vs")
    bed.probes.report = HostReport((check,), frozenset(), 1500, 2)
    bed.probes.changes = ("install the package lxc",)
    before = bed.rows()
    response = await bed.http.post("/hosts/preview", json={**BODY, "user": "ops"})
    assert response.status_code == 200
    preview = response.json()
    assert preview["changes"] == ["install the package lxc"]
    assert preview["report"]["checks"] == [
        {
            "name": "ipvs",
            "state": "degraded",
            "detail": "no ip_vs",
            "meaning": "VIPs don't answer",
            "remedy": "modprobe ip_vs",
        }
    ]
    assert preview["report"]["measured_at"].endswith("Z")
    (host,) = bed.probes.previewed
    assert (host.address, host.login.user, host.login.host_key) == ("192.0.2.7", "ops", HOST_KEY)
    assert bed.rows() == before
    assert bed.starter.started == []


async def test_a_preview_needs_a_confirmed_key_too(bed: Testbed) -> None:
    error = problem(await bed.http.post("/hosts/preview", json={"name": "rack1", "address": "192.0.2.7"}), 409)
    assert (error["code"], error["host_key"]) == ("host-key-unconfirmed", HOST_KEY)
    assert bed.probes.previewed == []


@pytest.mark.parametrize(
    ("failure", "status"),
    [(HostKeyChanged("Another key."), 409), (HostAccessDenied("No."), 502), (HostUnreachable("No."), 502)],
)
async def test_what_keeps_a_preview_from_the_machine_is_said(bed: Testbed, failure: Exception, status: int) -> None:
    bed.probes.failure = failure
    assert problem(await bed.http.post("/hosts/preview", json=BODY), status)["detail"] == str(failure)


async def test_a_report_is_what_was_last_measured(bed: Testbed) -> None:
    added = await bed.add_host()
    assert await bed.get(f"/hosts/{added['id']}/report") == {"checks": [], "measured_at": None}
    check = Check("esp", CheckState.MISSING, "no esp4")
    report = HostReport((check,), frozenset({"ipvs"}), 9000, 1, Size(4, 8, 16), Size(3, 7, 15), "192.0.2.7")
    bed.records.record_host(bed.records.host(added["id"]), report)
    host = await bed.get(f"/hosts/{added['id']}")
    assert (host["size"], host["free"]) == (
        {"cpus": 4, "memory_bytes": 8, "disk_bytes": 16},
        {"cpus": 3, "memory_bytes": 7, "disk_bytes": 15},
    )
    assert (host["mtu"], host["capabilities"]) == (9000, ["ipvs"])
    measured = await bed.get(f"/hosts/{added['id']}/report")
    assert [check["state"] for check in measured["checks"]] == ["missing"]
    assert measured["measured_at"] == host["measured_at"]


async def test_the_nodes_of_a_host_say_whose_they_are(bed: Testbed) -> None:
    cluster = await bed.active(node_count=3)
    (host,) = (await bed.get("/hosts"))["hosts"]
    assert host["node_count"] == 3
    first = await bed.get(f"/hosts/{host['id']}/nodes?limit=2")
    (link,) = first["links"]
    rest = await bed.get(link["href"])
    nodes = [*first["nodes"], *rest["nodes"]]
    assert rest["links"] == []
    assert [node["name"] for node in nodes] == ["demo-1", "demo-2", "demo-3"]
    assert all(node["cluster"] == {"id": cluster["id"], "name": "demo"} for node in nodes)
    assert {key: value for key, value in nodes[0].items() if key != "cluster"} == (
        await bed.get(f"/clusters/{cluster['id']}/nodes")
    )["nodes"][0]


async def test_hosts_come_in_pages_and_by_name(bed: Testbed) -> None:
    for number in range(3):
        await bed.add_host(f"rack{number}")
    names, href = [], "/hosts?limit=2"
    while href:
        page = await bed.get(href)
        names += [host["name"] for host in page["hosts"]]
        href = page["links"][0]["href"] if page["links"] else ""
    assert names == ["machine", "rack0", "rack1", "rack2"]
    assert [host["name"] for host in (await bed.get("/hosts?name=RACK1"))["hosts"]] == ["rack1"]
    assert (await bed.get("/hosts?name=rack9"))["hosts"] == []
    assert problem(await bed.http.get("/hosts?name=a%20b"), 400)["field"] == "name"
    assert problem(await bed.http.get("/hosts?marker=x"), 400)["field"] == "marker"
    assert problem(await bed.http.get("/hosts?limit=0"), 400)["field"] == "limit"


async def test_a_cordon_is_there_at_once_and_is_no_operation(bed: Testbed) -> None:
    host = await bed.ready_host()
    for task, cordoned in (("cordon", True), ("cordon", True), ("uncordon", False)):
        response = await bed.http.post(f"/hosts/{host['id']}/tasks", json={"type": task})
        assert (response.status_code, response.json()["cordoned"]) == (202, cordoned)
        assert "Location" not in response.headers
    assert [operation.kind for operation in bed.starter.started] == ["prepare-host"]


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("drain", OperationKind.DRAIN_HOST),
        ("prepare", OperationKind.PREPARE_HOST),
        ("remove", OperationKind.REMOVE_HOST),
    ],
)
async def test_a_task_is_an_operation_and_no_two_run_at_once(bed: Testbed, task: str, kind: OperationKind) -> None:
    host = await bed.ready_host()
    response = await bed.http.post(f"/hosts/{host['id']}/tasks", json={"type": task, "input": {"force": False}})
    assert response.status_code == 202, response.text
    changed = response.json()
    assert response.headers["Location"] == f"/operations/{changed['operation_id']}"
    assert (changed["cordoned"], changed["state"] == "removing") == (task != "prepare", task == "remove")
    await bed.launcher.settle()
    assert (bed.starter.started[-1].id, bed.starter.started[-1].kind) == (changed["operation_id"], kind)
    error = problem(await bed.http.post(f"/hosts/{host['id']}/tasks", json={"type": "drain"}), 409)
    assert (error["code"], changed["operation_id"] in error["detail"]) == ("host-busy", True)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"type": "reboot"}, "type"),
        ({}, "type"),
        ({"type": "drain", "input": {"force": True}}, "input.force"),
        ({"type": "remove", "input": {"force": "yes"}}, "input.force"),
        ({"type": "remove", "input": {"purge": True}}, "input.purge"),
        ({"type": "remove", "force": True}, "force"),
        ({"type": "remove", "input": None}, "input"),
    ],
)
async def test_a_wrong_task_is_refused(bed: Testbed, body: dict[str, Any], field: str) -> None:
    host = await bed.ready_host()
    before = bed.rows()
    assert problem(await bed.http.post(f"/hosts/{host['id']}/tasks", json=body), 400)["field"] == field
    assert bed.rows() == before


async def test_a_host_with_nodes_is_removed_by_force_alone(bed: Testbed) -> None:
    host = await bed.ready_host()
    bed_local = (await bed.get("/hosts?name=machine"))["hosts"][0]
    await bed.http.post(f"/hosts/{bed_local['id']}/tasks", json={"type": "cordon"})
    await bed.active("alpha", 2)
    before = bed.rows()
    error = problem(await bed.http.delete(f"/hosts/{host['id']}"), 409)
    assert (error["code"], "'alpha' (2)" in error["detail"]) == ("host-in-use", True)
    assert bed.rows() == before
    response = await bed.http.delete(f"/hosts/{host['id']}?force=true")
    assert (response.status_code, response.json()["state"]) == (202, "removing")
    await bed.launcher.settle()
    assert bed.starter.started[-1].params == {"host_name": "rack1", "force": True}
    again = await bed.http.delete(f"/hosts/{host['id']}?force=true")
    assert again.headers["Location"] == response.headers["Location"]
    assert problem(await bed.http.post(f"/hosts/{host['id']}/tasks", json={"type": "uncordon"}), 409)


async def test_a_forced_removal_pushes_aside_what_hangs_on_a_dead_host(bed: Testbed) -> None:
    host = await bed.add_host()
    bed.begin(host["operation_id"])
    assert problem(await bed.http.delete(f"/hosts/{host['id']}"), 409)["code"] == "host-busy"
    response = await bed.http.delete(f"/hosts/{host['id']}?force=true")
    assert response.status_code == 202, response.text
    bed.starter.closed.set()
    await bed.launcher.settle()
    assert [operation.id for operation in bed.starter.cancelled] == [host["operation_id"]]
    assert bed.starter.started[-1].kind == "remove-host"
    assert (await bed.get(f"/operations/{host['operation_id']}"))["state"] == "cancelling"
    assert (await bed.get(f"/hosts/{host['id']}"))["operation_id"] == response.json()["operation_id"]


async def test_the_services_own_machine_stays(bed: Testbed) -> None:
    (host,) = (await bed.get("/hosts"))["hosts"]
    for force in ("false", "true"):
        error = problem(await bed.http.delete(f"/hosts/{host['id']}?force={force}"), 409)
        assert (error["code"], "carinad down" in error["remedy"]) == ("conflict", True)
    assert (await bed.get(f"/hosts/{host['id']}"))["state"] == "ready"


async def test_a_host_says_why_its_last_operation_failed(bed: Testbed) -> None:
    host = await bed.add_host()
    bed.begin(host["operation_id"])
    error = HostAccessDenied("ops may not use sudo.").record()
    bed.records.fail_operation(host["operation_id"], error, cancelled=False)
    failed = await bed.get(f"/hosts/{host['id']}")
    assert (failed["state"], failed["operation_id"]) == ("error", None)
    assert failed["error"]["detail"] == "ops may not use sudo."
    again = await bed.http.post(f"/hosts/{host['id']}/tasks", json={"type": "prepare"})
    assert again.json()["state"] == "preparing"
    bed.complete(again.json()["operation_id"])
    assert (await bed.get(f"/hosts/{host['id']}"))["error"] is None


async def test_a_host_that_was_installed_anew_is_prepared_by_its_new_key(bed: Testbed) -> None:
    host = await bed.ready_host()
    path, new = f"/hosts/{host['id']}/tasks", HOST_KEY.replace("Cd8t3", "Cd8t4")
    for body, field in (
        ({"type": "prepare", "input": {"host_key": "x"}}, "input.host_key"),
        ({"type": "drain", "input": {"host_key": new}}, "input.host_key"),
    ):
        assert problem(await bed.http.post(path, json=body), 400)["field"] == field
    changed = await bed.http.post(path, json={"type": "prepare", "input": {"host_key": new}})
    assert (changed.status_code, changed.json()["host_key"]) == (202, new)
    assert changed.json()["fingerprint"] not in {"", host["fingerprint"]}
    assert bed.records.host(host["id"]).login.host_key == new
    (local,) = (await bed.get("/hosts?name=machine"))["hosts"]
    answer = await bed.http.post(f"/hosts/{local['id']}/tasks", json={"type": "prepare", "input": {"host_key": new}})
    assert problem(answer, 409)["code"] == "conflict"


async def test_whatever_is_sent_gets_an_answer_in_the_contracts_words(bed: Testbed) -> None:
    chance = random.Random(5)  # noqa: S311 - the same at each run
    host, cluster = await bed.ready_host(), await bed.active()
    fields = [*HostIn.model_fields, *HostTaskIn.model_fields, *PublicationIn.model_fields, "unknown"]
    paths = ["/hosts", "/hosts/preview", f"/hosts/{host['id']}/tasks", f"/clusters/{cluster['id']}/publications"]
    for _ in range(400):
        body = {field: chance.choice(ODD) for field in chance.sample(fields, 3)}
        body |= chance.choice([{}, BODY, {"type": "prepare", "input": {"host_key": chance.choice(ODD)}}])
        content = json.dumps(body, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
        response = await bed.http.post(chance.choice(paths), content=content)
        assert response.status_code < 500, (body, response.text)
        assert response.status_code < 300 or {"code", "remedy"} <= set(response.json()["errors"][0]), body
    for odd in ("%00", "%ff", "%f0%9f", "..", "x" * 400, "1e3", "-1", "99999999999999999999"):
        for path in (f"/hosts?limit={odd}", f"/hosts?marker={odd}", f"/hosts?name={odd}", f"/hosts/{odd}/nodes"):
            assert (await bed.http.get(path)).status_code in {200, 400, 404}, path


@pytest.mark.parametrize("host_id", [MISSING, "rack1", "..%2fclusters", "%00", "x" * 300])
async def test_a_host_that_is_not_there_is_not_found(bed: Testbed, host_id: str) -> None:
    for method, path, body in (
        ("GET", "", None),
        ("DELETE", "", None),
        ("GET", "/report", None),
        ("GET", "/nodes", None),
        ("POST", "/tasks", {"type": "cordon"}),
        ("POST", "/tasks", {"type": "drain"}),
    ):
        response = await bed.http.request(method, f"/hosts/{host_id}{path}", json=body)
        assert problem(response, 404)["code"] == "not-found"


async def test_hosts_are_for_administrators_alone(bed: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    host = await bed.ready_host()
    with bed.engine.begin() as connection:
        connection.execute(text("INSERT INTO tenants VALUES ('other', 'other', '2026-01-01 00:00:00')"))
    monkeypatch.setattr("api.tokens.AdminToken.owner", lambda _self, _token: "other")
    assert (await bed.http.get("/clusters")).status_code == 200
    before = bed.rows()
    for method, path, body in (
        ("GET", "/hosts", None),
        ("POST", "/hosts", BODY),
        ("POST", "/hosts", {}),
        ("POST", "/hosts/preview", BODY),
        ("GET", f"/hosts/{host['id']}", None),
        ("DELETE", f"/hosts/{host['id']}", None),
        ("GET", f"/hosts/{host['id']}/report", None),
        ("GET", f"/hosts/{host['id']}/nodes", None),
        ("POST", f"/hosts/{host['id']}/tasks", {"type": "cordon"}),
    ):
        response = await bed.http.request(method, path, json=body)
        assert problem(response, 403)["code"] == "forbidden"
    assert bed.rows() == before
    assert bed.probes.previewed == []


async def test_what_is_measured_does_not_undo_what_the_operator_said(bed: Testbed) -> None:
    host = await bed.ready_host("rack1", zone="row-a")
    await bed.http.post(f"/hosts/{host['id']}/tasks", json={"type": "cordon"})
    stale = replace(bed.records.host(host["id"]), cordoned=False, zone="")
    bed.records.record_host(stale, None)
    after = await bed.get(f"/hosts/{host['id']}")
    assert (after["cordoned"], after["zone"]) == (True, "row-a")
