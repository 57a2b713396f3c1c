"""The command against a fake service: in this process for most tests, as a process of its own where that matters."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_testbed import Carina, Ran, Start
from fake_service import TOKEN, FakeService

from carina_cli.main import main


@pytest.fixture
def service() -> Iterator[FakeService]:
    fake = FakeService()
    yield fake
    fake.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    directory = tmp_path / "home of a person"
    directory.mkdir()
    return directory


@pytest.fixture
def surroundings(service: FakeService, home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A clean environment that leads to the fake service."""
    for name in [*os.environ]:
        if name.startswith(("CARINA_", "DOCKER_")) or name in {"NO_COLOR", "FORCE_COLOR"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SHELL", "/bin/bash")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("CARINA_ENDPOINT", service.url)
    monkeypatch.setenv("CARINA_TOKEN", TOKEN)
    monkeypatch.setenv("CARINA_HOME", str(home / "no service here"))
    return dict(os.environ)


@pytest.fixture
def carina(surroundings: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Carina:
    """Run the command in this process."""

    def run(*args: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["carina", *args])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        return Ran(int(ended.value.code or 0), written.out, written.err)

    return run


@pytest.fixture
def start(surroundings: dict[str, str]) -> Iterator[Start]:
    """Start the command as a process of its own, with pipes; it is ended with the test."""
    begun: list[subprocess.Popen[str]] = []

    def run(*args: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            # What a shell starts in the background ignores Ctrl-C, and hands that on to its own.
            ["env", "--default-signal=INT", sys.executable, "-m", "carina_cli", *args],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield run
    for process in begun:
        process.kill()
        process.communicate()
