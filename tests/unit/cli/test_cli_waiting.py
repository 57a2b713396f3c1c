"""Following an operation: steps as they happen, and every way that a wait ends."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest
from cli_testbed import Carina, Start
from fake_answers import FAILURE, OPERATION_ID, operation, problem, step
from fake_service import FakeService

RUNNING = {"state": "running", "ended_at": None}
FAILED = operation(
    "failed",
    error=FAILURE,
    steps=[step(), step(node="demo-2", state="failed", attempt=2, error=FAILURE)],
)


def test_each_step_is_a_line_once_with_node_and_seconds(carina: Carina, service: FakeService) -> None:
    service.operation_answers = [
        operation("pending", steps=[]),
        operation("running", steps=[step(**RUNNING), step(node="demo-2", **RUNNING)]),
        operation("running", steps=[step(**RUNNING), step(node="demo-2")]),
        operation("running", steps=[step(), step(node="demo-2")]),
        operation(),
    ]
    ran = carina("create", "demo")
    lines = ran.err.splitlines()
    assert lines[0] == "Creating demo, 1 node"
    assert [re.split(r"\s{2,}", line.strip()) for line in lines[1:]] == [
        ["ok", "Start the node", "demo-2", "1.25 s"],
        ["ok", "Start the node", "demo-1", "1.25 s"],
        ["ok", "Form the cluster", "demo-1", "1.25 s"],
    ]


def test_an_attempt_that_failed_shows_beside_the_one_that_did_not(carina: Carina, service: FakeService) -> None:
    lost = step(state="lost", ended_at=None)
    service.operation_answers = [operation(steps=[lost, step(attempt=2, started_at="2026-01-02T03:04:07Z")])]
    err = carina("create", "demo").err
    assert re.search(r"lost +Start the node", err)
    assert re.search(r"ok +Start the node.*attempt 2", err)


def test_a_failed_operation_says_what_why_where_and_what_to_do(carina: Carina, service: FakeService) -> None:
    service.operation_answers = [FAILED]
    ran = carina("create", "demo")
    assert ran.code == 1
    for said in (
        "error: The container engine of a node never answered (docker-silent)",
        "demo-2 did not answer within 60 s.",
        "Failed step: Start the node (ensure_node) on demo-2, attempt 2",
        f"Operation: {OPERATION_ID} (create, failed)",
        "What to do: Look at docker.service's journal in the node.",
    ):
        assert said in ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("args", [("create", "demo"), ("grow", "demo"), ("operation", OPERATION_ID, "--wait")])
def test_json_of_a_failed_change_is_still_on_stdout(
    carina: Carina, service: FakeService, args: tuple[str, ...]
) -> None:
    service.operation_answers = [FAILED]
    ran = carina(*args, "-o", "json")
    assert ran.code == 1
    assert "id" in json.loads(ran.out)


@pytest.mark.parametrize(
    "args", [("delete", "demo", "-y"), ("overlays", "add", "demo", "web"), ("resize", "demo", "-n", "3")]
)
def test_every_change_fails_with_its_operation(carina: Carina, service: FakeService, args: tuple[str, ...]) -> None:
    service.operation_answers = [operation("running"), FAILED]
    assert carina(*args).code == 1


def test_a_cancelled_operation_is_no_success(carina: Carina, service: FakeService) -> None:
    service.operation_answers = [operation("cancelled", error=None)]
    ran = carina("create", "demo")
    assert ran.code == 1
    assert "The operation is cancelled." in ran.err


def test_a_wait_that_is_too_long_names_the_steps_that_run(carina: Carina, service: FakeService) -> None:
    service.operation_answers = [operation("running", steps=[step(node="demo-7", **RUNNING)])]
    began = time.monotonic()
    ran = carina("create", "demo", "--timeout", "0.2")
    assert time.monotonic() - began < 5
    assert ran.code == 7
    assert "demo-7" in ran.err
    assert f"carina operation {OPERATION_ID}" in ran.err


def test_a_restart_of_the_service_does_not_end_the_wait(carina: Carina, service: FakeService) -> None:
    service.drops[("GET", f"/operations/{OPERATION_ID}")] = 3
    ran = carina("create", "demo")
    assert ran.code == 0
    assert ran.err.count("waiting for it to come back") == 1


def test_a_service_that_starts_does_not_end_the_wait(carina: Carina, service: FakeService) -> None:
    path = ("GET", f"/operations/{OPERATION_ID}")
    service.failures[path] = problem(503, "unavailable", "The service can't serve this now")
    ran = carina("create", "demo", "--timeout", "0.2")
    assert ran.code == 7
    assert "waiting for it to come back" in ran.err


def test_a_service_that_stays_away_ends_the_wait(
    carina: Carina, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carina_cli.waiting.PATIENCE_S", 0.1)
    service.drops[("GET", f"/operations/{OPERATION_ID}")] = 10_000
    ran = carina("create", "demo")
    assert ran.code == 5


def test_a_service_that_waits_for_news_is_asked_once_for_each(carina: Carina, service: FakeService) -> None:
    service.operation_answers = [
        operation("running", steps=[], revision="a"),
        operation("running", steps=[step(**RUNNING)], revision="b"),
        operation(revision="c"),
    ]
    assert carina("create", "demo").code == 0
    queries = [urlsplit(path).query for _, path, _, _ in service.sent("GET", f"/operations/{OPERATION_ID}")]
    assert queries == ["", "revision=a&wait_s=5.000", "revision=b&wait_s=5.000"]


def test_a_look_lasts_no_longer_than_the_wait_may(carina: Carina, service: FakeService) -> None:
    service.operation_answers = [operation("running", revision="a")]
    assert carina("create", "demo", "--timeout", "0.2").code == 7
    looks = service.sent("GET", f"/operations/{OPERATION_ID}")
    asked = [float(path.rpartition("=")[2]) for _, path, _, _ in looks if "wait_s" in path]
    assert asked
    assert max(asked) <= 0.2
    assert len(looks) < 8  # though the service does not wait, it is not asked in a tight loop


def test_an_operation_that_is_not_there_is_not_found(carina: Carina) -> None:
    assert carina("operation", "nothing", "--wait").code == 3


def test_ctrl_c_leaves_the_operation_and_says_how_to_look(start: Start, service: FakeService) -> None:
    service.operation_answers = [operation("running")]
    process = start("create", "demo")
    assert process.stderr is not None
    seen = [process.stderr.readline() for _ in range(3)]
    process.send_signal(signal.SIGINT)
    out, rest = process.communicate(timeout=10)
    assert process.returncode == 130, (seen, rest)
    assert f"carina operation {OPERATION_ID}" in rest
    assert "goes on" in rest
    assert "Traceback" not in rest
    assert out == ""
    assert not [request for request in service.requests if request[0] == "DELETE"]


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_a_terminal_gets_live_steps_unless_it_wants_none(
    surroundings: dict[str, str], service: FakeService, environment: dict[str, str], *, coloured: bool
) -> None:
    running = operation("running", steps=[step(), step("form_cluster", **RUNNING)])
    service.operation_answers = [operation("running", steps=[step(**RUNNING)]), *[running] * 8, operation()]
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "carina_cli", "create", "demo"],
        env={**os.environ, "TERM": "xterm", **environment},
        stdout=subprocess.PIPE,
        stderr=secondary,
    )
    os.close(secondary)
    shown = b""
    try:
        while chunk := os.read(primary, 65536):
            shown += chunk
    except OSError:  # Linux says EIO when the last writer has gone
        pass
    out, _ = process.communicate(timeout=10)
    os.close(primary)
    assert process.returncode == 0
    assert b"Start the node" in shown
    assert b"Form the cluster" in shown
    assert (b"\x1b[" in shown) is coloured
    assert b"\x1b" not in out
