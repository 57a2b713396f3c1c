"""Images on their way to a cluster: read part by part, sent as they come, named and forgotten."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from cli_testbed import Carina
from fake_answers import DEMO_ID, FAILURE, OPERATION_ID, image, operation, problem
from fake_service import FakeService

PATH = f"/clusters/{DEMO_ID}/images"
LARGE = os.urandom(1 << 20) * 5 + b"the end"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "web.tar"
    path.write_bytes(LARGE)
    return path


def load_from_stdin(content: bytes, *args: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "carina_cli", "images", "load", "demo", "-", *args]
    return subprocess.run(command, input=content, capture_output=True, check=False, timeout=30)


def test_a_file_is_sent_whole_in_parts(carina: Carina, service: FakeService, archive: Path) -> None:
    ran = carina("images", "load", "demo", str(archive))
    assert ran.code == 0, ran.err
    [(_, _, headers, _)] = service.sent("POST", PATH)
    assert headers["Content-Type"] == "application/x-tar"
    assert service.uploads == [(LARGE, 6)]
    assert ran.out == "web:1 is on every node of demo: 12.3 MB, in 4.0 s\n"
    assert ran.err.splitlines()[0] == "Loading web:1 on demo"


@pytest.mark.usefixtures("surroundings")
def test_standard_input_is_sent_as_it_comes(service: FakeService) -> None:
    ran = load_from_stdin(LARGE, "-o", "json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == image("web:1")
    assert service.uploads[0][0] == LARGE


@pytest.mark.usefixtures("surroundings")
def test_an_archive_needs_no_room_in_memory(service: FakeService, tmp_path: Path) -> None:
    sparse = tmp_path / "large.tar"
    with sparse.open("wb") as file:
        file.truncate(150_000_000)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_DATA, (120_000_000, 120_000_000))"
    limited = f"{limit}; from carina_cli.main import main; main()"
    command = [sys.executable, "-c", limited, "images", "load", "demo", str(sparse)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert len(service.uploads[0][0]) == 150_000_000


@pytest.mark.usefixtures("surroundings")
def test_empty_input_sends_nothing(service: FakeService) -> None:
    ran = load_from_stdin(b"")
    assert ran.returncode == 2
    assert b"standard input is empty" in ran.stderr
    assert service.requests == []


def test_what_is_no_file_sends_nothing(
    carina: Carina, service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").write_bytes(b"")
    for source, code, said in (
        (tmp_path / "absent", 3, "no file"),
        (tmp_path, 2, "Is a directory"),
        (tmp_path / "empty", 2, "is empty"),
    ):
        ran = carina("images", "load", "demo", str(source))
        assert (ran.code, ran.out) == (code, "")
        assert said in ran.err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    ran = carina("images", "load", "demo", "-")
    assert ran.code == 2
    assert "docker save" in ran.err
    assert service.requests == []


def test_an_archive_that_is_none_is_what_the_service_says(carina: Carina, service: FakeService, archive: Path) -> None:
    service.failures[("POST", PATH)] = problem(400, "invalid-input", "What was sent is not valid", detail="No tar.")
    ran = carina("images", "load", "demo", str(archive))
    assert ran.code == 2
    assert "No tar." in ran.err


def test_an_upload_that_breaks_is_not_sent_again(carina: Carina, service: FakeService, archive: Path) -> None:
    service.drops[("POST", PATH)] = 1
    assert carina("images", "load", "demo", str(archive)).code == 5
    assert len(service.sent("POST", PATH)) == 1


def test_no_wait_returns_when_the_archive_is_there(carina: Carina, service: FakeService, archive: Path) -> None:
    ran = carina("images", "load", "demo", str(archive), "--no-wait")
    assert ran.code == 0
    assert f"carina operation {OPERATION_ID} --wait" in ran.out
    assert not service.sent("GET", f"/operations/{OPERATION_ID}")


def test_an_image_that_is_there_already_is_not_waited_for(carina: Carina, service: FakeService, archive: Path) -> None:
    service.accepts_operation = False
    assert carina("images", "load", "demo", str(archive)).out == "web:1 is on demo already\n"


def test_a_load_that_fails_is_exit_code_1(carina: Carina, service: FakeService, archive: Path) -> None:
    service.operation_answers = [operation("failed", kind="load-image", error=FAILURE)]
    assert carina("images", "load", "demo", str(archive)).code == 1


@pytest.mark.parametrize(("environment", "shown"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_sees_the_bytes_go(
    surroundings: dict[str, str], archive: Path, environment: dict[str, str], *, shown: bool
) -> None:
    primary, secondary = pty.openpty()
    command = [sys.executable, "-m", "carina_cli", "images", "load", "demo", str(archive), "--no-wait"]
    process = subprocess.Popen(
        command,
        env={**os.environ, "TERM": "xterm", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=secondary,
    )
    os.close(secondary)
    seen = b""
    try:
        while chunk := os.read(primary, 65536):
            seen += chunk
    except OSError:  # Linux says EIO when the last writer has gone
        pass
    out, _ = process.communicate(timeout=10)
    os.close(primary)
    assert process.returncode == 0
    assert (b"Sent 5.2 MB of 5.2 MB" in seen) is shown
    assert (b"MB/s" in seen) is shown
    assert b"MB/s" not in out


def test_ls_shows_names_sizes_and_what_went_wrong(carina: Carina, service: FakeService) -> None:
    service.images = [
        image("web:1", "web:latest"),
        image(digest="sha256:" + "cd" * 32, state="error", error=FAILURE, size_bytes=999),
    ]
    out = carina("images", "demo").out
    assert "web:1, web:latest" in out
    assert "abababababab  12.3 MB" in out
    assert "999 B" in out
    assert "docker-silent" in out


@pytest.mark.parametrize(
    "named",
    ["web:1", "docker.io/library/web:1", "sha256:" + "ab" * 32, "ababab", "SHA256:ABABAB", "tool", "tool:latest"],
)
def test_rm_takes_a_name_or_a_digest(carina: Carina, service: FakeService, named: str) -> None:
    service.images = [image("web:1", "docker.io/library/tool:latest"), image("db:1", digest="sha256:" + "cd" * 32)]
    ran = carina("images", "rm", "demo", named)
    assert ran.code == 0, ran.err
    assert len(service.sent("DELETE", f"{PATH}/sha256%3A{'ab' * 32}")) == 1
    assert "is forgotten" in ran.out


def test_rm_of_nothing_or_of_several_removes_none(carina: Carina, service: FakeService) -> None:
    service.images = [image("web:1"), image("web:1", digest="sha256:" + "cd" * 32)]
    assert carina("images", "rm", "demo", "web:2").code == 3
    assert carina("images", "rm", "demo", "abab").code == 3
    ran = carina("images", "rm", "demo", "web:1")
    assert ran.code == 2
    assert "sha256:cdcd" in ran.err
    assert not [request for request in service.requests if request[0] == "DELETE"]
