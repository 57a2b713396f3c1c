"""Every way that a command fails: what it says, where it says it, and with which exit code."""

import socket
import stat
from pathlib import Path

import pytest
from cli_testbed import Carina, Start
from fake_answers import DEMO_ID, cluster, problem
from fake_service import TOKEN, FakeService


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_service_that_is_not_there_says_how_to_start_it(carina: Carina) -> None:
    ran = carina("ls", "--endpoint", f"http://127.0.0.1:{unused_port()}")
    assert ran.code == 5
    assert "carinad up" in ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err


def test_no_service_is_said_before_no_token(carina: Carina, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CARINA_TOKEN")
    assert carina("ls", "--endpoint", f"http://127.0.0.1:{unused_port()}").code == 5


def test_a_missing_token_names_the_file_that_it_looked_in(carina: Carina, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CARINA_TOKEN")
    monkeypatch.setenv("CARINA_TOKEN_FILE", "/no/such/token")
    ran = carina("ls")
    assert ran.code == 6
    assert "/no/such/token" in ran.err
    assert "CARINA_TOKEN" in ran.err


def test_a_wrong_token_is_not_authorised_and_never_shown(carina: Carina, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARINA_TOKEN", "a-wrong-one")
    ran = carina("ls")
    assert ran.code == 6
    assert "A valid token is needed (unauthorized)" in ran.err
    assert "a-wrong-one" not in ran.err + ran.out


@pytest.mark.parametrize("content", ["", "two words", "línea", "a\nb"])
def test_a_file_without_a_token_is_said_so(
    carina: Carina, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    (tmp_path / "token").write_text(content, encoding="utf-8")
    monkeypatch.delenv("CARINA_TOKEN")
    monkeypatch.setenv("CARINA_TOKEN_FILE", str(tmp_path / "token"))
    ran = carina("ls")
    assert ran.code == 6
    assert str(tmp_path / "token") in ran.err


def test_the_token_comes_from_the_environment_then_its_file_then_the_home(
    carina: Carina, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "admin-token").write_text(TOKEN + "\n")
    (tmp_path / "wrong").write_text("wrong\n")
    monkeypatch.setenv("CARINA_HOME", str(tmp_path))
    monkeypatch.setenv("CARINA_TOKEN_FILE", str(tmp_path / "wrong"))
    assert carina("ls").code == 0
    monkeypatch.delenv("CARINA_TOKEN")
    assert carina("ls").code == 6
    monkeypatch.delenv("CARINA_TOKEN_FILE")
    assert carina("ls").code == 0


def test_an_error_of_the_api_is_told_whole(carina: Carina, service: FakeService) -> None:
    service.failures[("POST", "/clusters")] = problem(
        409, "name-taken", "The name is taken", detail="There is a cluster demo.", remedy="Choose another."
    )
    ran = carina("create", "demo")
    assert ran.code == 4
    assert ran.err.splitlines() == [
        "error: The name is taken (name-taken)",
        "  There is a cluster demo.",
        "  What to do: Choose another.",
        "  Request: req-1",
    ]


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (400, "invalid-input", 2),
        (401, "unauthorized", 6),
        (404, "not-found", 3),
        (404, "not-ready", 4),
        (406, "make-coe-api.microverion-unsupported", 1),
        (409, "cluster-busy", 4),
        (500, "internal", 1),
        (503, "unavailable", 1),
    ],
)
def test_exit_codes_follow_the_answer(
    carina: Carina, service: FakeService, status: int, code: str, exit_code: int
) -> None:
    service.failures[("GET", f"/clusters/{DEMO_ID}/credentials/zip")] = problem(status, code, "Something")
    assert carina("credentials", "demo").code == exit_code


@pytest.mark.parametrize("args", [("get",), ("nodes",), ("grow",), ("delete", "-y"), ("overlays", "ls"), ("env",)])
def test_a_cluster_that_is_not_there_is_not_found(carina: Carina, args: tuple[str, ...]) -> None:
    for name in ("nothing", "0193b0a0-0000-7000-8000-0000000000ff", ""):
        ran = carina(*args, name)
        assert ran.code == 3, ran.err
        assert ran.out == ""


@pytest.mark.parametrize(
    "args",
    [
        ("nonsense",),
        ("create",),
        ("create", "demo", "--nodes", "0"),
        ("create", "demo", "--nodes", "many"),
        ("ls", "-o", "yaml"),
        ("ls", "--token", "x"),
        ("resize", "demo"),
        ("env",),
        ("env", "demo", "--shell", "tcsh"),
        ("ls", "--endpoint", "127.0.0.1:8440"),
        ("ls", "--endpoint", "ftp://127.0.0.1"),
        ("overlays", "remove", "demo", "web"),
    ],
)
def test_what_is_typed_wrong_is_exit_code_2_and_sends_nothing(
    carina: Carina, service: FakeService, args: tuple[str, ...]
) -> None:
    ran = carina(*args)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err
    assert service.requests == []


def test_an_answer_of_something_else_is_said_so(carina: Carina, service: FakeService) -> None:
    for document in ({"detail": "Not Found"}, ["x"], {"errors": []}, {"errors": "no"}):
        service.failures[("GET", "/clusters")] = (404, document)
        ran = carina("ls")
        assert ran.code == 1
        assert "not one of a Carina service" in ran.err
    service.failures[("GET", "/clusters")] = (200, {"message": "hello"})
    assert carina("ls").code == 1
    service.failures[("GET", "/clusters")] = (200, b"<html>")
    assert carina("ls").code == 1


def test_a_link_to_another_place_is_not_followed(carina: Carina, service: FakeService) -> None:
    elsewhere = {"clusters": [cluster()], "links": [{"rel": "next", "href": "//127.0.0.1:1/clusters"}]}
    service.failures[("GET", "/clusters")] = (200, elsewhere)
    assert carina("ls").code == 0
    assert len(service.requests) == 1


def test_a_connection_that_breaks_is_not_tried_again_without_a_key(carina: Carina, service: FakeService) -> None:
    service.drops[("DELETE", f"/clusters/{DEMO_ID}")] = 1
    assert carina("delete", "demo", "-y").code == 5
    assert len(service.sent("DELETE", f"/clusters/{DEMO_ID}")) == 1


def test_credentials_that_cannot_be_written_are_said_so(carina: Carina, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = carina("credentials", "demo", "--dir", str(tmp_path / "file"))
    assert ran.code == 1
    assert "can't be written" in ran.err


def test_a_closed_pipe_is_no_traceback(start: Start, service: FakeService) -> None:
    service.clusters = [cluster(f"c{n}", f"0193b0a0-0000-7000-8000-{n:012}") for n in range(3000)]
    process = start("ls")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.wait(timeout=10)


def test_version_and_help_need_no_service(carina: Carina, service: FakeService) -> None:
    assert carina("--version").out.startswith("carina ")
    assert "Exit codes:" in carina("--help").out
    assert service.requests == []


def test_starting_loads_neither_httpx_nor_rich_nor_the_service(start: Start) -> None:
    process = start("--help", PYTHONPROFILEIMPORTTIME="1")
    _, imported = process.communicate(timeout=20)
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in imported.splitlines()}
    assert "typer" in loaded
    assert not loaded & {"httpx", "rich", "yaml", "pydantic", "domain", "store", "api", "temporalio", "fastapi"}


def test_modes_of_what_is_written(carina: Carina, tmp_path: Path) -> None:
    target = tmp_path / "new" / "place"
    assert carina("credentials", "demo", "--dir", str(target)).out == f"{target}\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in target.iterdir()} == {0o600}
