"""Releases are kept whole, named by what is in them, and told apart from damaged ones."""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from domain.errors import CarinaError, Conflict, ReleaseMissing, ReleaseUnavailable
from drivers.release_files import FileFact, FoundFile, hash_file, keep_stream
from drivers.release_parts import buildable_versions, kubernetes_part, other_parts
from drivers.releases import Releases
from worker.carinad import app


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    return Releases(tmp_path / "home" / "releases")


def files(directory: Path, **contents: str) -> dict[str, FoundFile]:
    directory.mkdir(exist_ok=True)
    found = {}
    for name, content in contents.items():
        path = directory / name
        path.write_text(content)
        found[name] = FoundFile(path, FileFact(hash_file(path), path.stat().st_size, "a test"))
    return found


def test_a_release_that_is_not_there_is_missing_and_the_error_names_the_command(releases: Releases) -> None:
    with pytest.raises(ReleaseMissing) as caught:
        releases.get("kubernetes", "1.35.4")
    assert "'carinad release add kubernetes 1.35.4'" in caught.value.remedy
    assert caught.value.status == 409
    assert not caught.value.retryable
    with pytest.raises(ReleaseMissing):
        releases.remove("kubernetes", "1.35.4")
    with pytest.raises(ReleaseMissing):
        releases.verify("kubernetes", "1.35.4")
    assert releases.all() == []
    assert releases.verify() == {}


def test_a_releases_digest_follows_from_its_name_its_version_and_its_files(releases: Releases, tmp_path: Path) -> None:
    first = releases.add("kubernetes", "1.35.4", files(tmp_path / "a", kubelet="1", kubectl="2"))
    same = Releases(tmp_path / "other").add("kubernetes", "1.35.4", files(tmp_path / "b", kubectl="2", kubelet="1"))
    assert same.digest == first.digest
    digests = {
        first.digest,
        releases.add("kubernetes", "1.35.5", files(tmp_path / "a", kubelet="1", kubectl="2")).digest,
    }
    for number, content in enumerate(({"kubelet": "2", "kubectl": "1"}, {"kubelet": "1"}, {"kubelet": "1", "x": "2"})):
        other = Releases(tmp_path / f"more{number}").add(
            "kubernetes", "1.35.4", files(tmp_path / f"c{number}", **content)
        )
        digests.add(other.digest)
    assert len(digests) == 5


def test_releases_are_listed_in_order_of_their_numbers(releases: Releases, tmp_path: Path) -> None:
    for version in ("1.35.10", "1.35.4", "1.9.0"):
        releases.add("kubernetes", version, files(tmp_path / "a", kubelet="1"))
    assert [one.version for one in releases.all()] == ["1.9.0", "1.35.4", "1.35.10"]
    releases.remove("kubernetes", "1.35.4")
    assert [one.version for one in releases.all()] == ["1.9.0", "1.35.10"]
    assert [path.name for path in releases.root.iterdir() if path.name[0] == "."] == [".lock"]


def test_another_release_of_the_same_version_is_refused_and_the_same_one_is_no_harm(
    releases: Releases, tmp_path: Path
) -> None:
    first = releases.add("kubernetes", "1.35.4", files(tmp_path / "a", kubelet="1"))
    assert releases.add("kubernetes", "1.35.4", files(tmp_path / "b", kubelet="1")) == first
    with pytest.raises(Conflict, match="other files"):
        releases.add("kubernetes", "1.35.4", files(tmp_path / "c", kubelet="2"))
    assert releases.get("kubernetes", "1.35.4") == first


def test_an_add_that_breaks_off_leaves_nothing_that_counts(releases: Releases, tmp_path: Path) -> None:
    found = files(tmp_path / "a", kubelet="1", kubectl="2")
    (tmp_path / "a" / "kubelet").unlink()
    with pytest.raises(FileNotFoundError):
        releases.add("kubernetes", "1.35.4", found)
    assert releases.all() == []
    assert [path.name for path in releases.root.iterdir()] == [".lock"]


def test_files_are_copied_where_they_can_not_be_linked(
    releases: Releases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    with Path("/bin/true").open("rb") as stream:
        found = {"kubelet": keep_stream(stream, tmp_path / "a" / "kubelet", "a test")}

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    added = releases.add("kubernetes", "1.35.4", found)
    assert (added.binaries / "kubelet").stat().st_nlink == 1
    assert os.access(added.binaries / "kubelet", os.X_OK)
    assert releases.verify() == {"kubernetes 1.35.4": []}


def test_verify_finds_every_kind_of_damage_and_names_the_file(releases: Releases, tmp_path: Path) -> None:
    added = releases.add("kubernetes", "1.35.4", files(tmp_path / "a", kubelet="1234", kubectl="2", coredns="3", x="4"))
    (added.binaries / "kubelet").write_text("1235")
    (added.binaries / "kubectl").write_text("22")
    (added.binaries / "coredns").unlink()
    (added.binaries / "more").touch()
    releases.add("kubernetes", "1.35.5", files(tmp_path / "b", kubelet="1"))
    found = releases.verify()
    assert found["kubernetes 1.35.5"] == []
    damaged = "\n".join(found["kubernetes 1.35.4"])
    assert f"{added.binaries / 'kubelet'} was changed" in damaged
    assert f"{added.binaries / 'kubectl'} has 2 bytes in place of 1" in damaged
    assert f"{added.binaries / 'coredns'} is not there" in damaged
    assert f"{added.binaries / 'more'} is not in the manifest" in damaged
    assert len(found["kubernetes 1.35.4"]) == 4


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"name": "kubernetes", "version": "1.35.4", "files": {"a": {}}}'])
def test_a_manifest_that_can_not_be_read_is_damage_with_a_remedy(
    releases: Releases, tmp_path: Path, content: str
) -> None:
    added = releases.add("kubernetes", "1.35.4", files(tmp_path / "a", kubelet="1"))
    (added.path / "manifest.json").write_text(content)
    assert len(releases.verify()["kubernetes 1.35.4"]) == 1
    with pytest.raises(ReleaseUnavailable) as caught:
        releases.get("kubernetes", "1.35.4")
    assert "carinad release rm kubernetes 1.35.4" in caught.value.remedy
    releases.remove("kubernetes", "1.35.4")
    assert releases.add("kubernetes", "1.35.4", files(tmp_path / "b", kubelet="1")) == added


def test_every_part_has_its_modules_pinned_at_its_version() -> None:
    assert "1.35.4" in buildable_versions()
    parts = [*other_parts(), *map(kubernetes_part, buildable_versions())]
    for part in parts:
        required = (part.module / "go.mod").read_text()
        sums = (part.module / "go.sum").read_text()
        for _, package in part.packages:
            module = next(
                line.split()[0] for line in sums.splitlines() if f"{package}/".startswith(f"{line.split()[0]}/")
            )
            assert f"{module} v{part.version}\n" in required
            assert f"{module} v{part.version} h1:" in sums
    binaries = [binary for part in other_parts() for binary in part.binaries]
    assert len(binaries) == len(set(binaries))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield tmp_path / "home"
    root.handlers = handlers  # the command sent logs to a standard error that is no more
    root.setLevel(level)
    structlog.reset_defaults()


def run(*words: str, home: Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["release", *words, "--home", str(home)])
    if result.exception is not None and not isinstance(result.exception, SystemExit | CarinaError):
        raise result.exception
    return result.exit_code, result.output


def test_the_command_lists_checks_and_removes_releases(releases: Releases, tmp_path: Path, home: Path) -> None:
    added = releases.add("kubernetes", "1.35.4", files(tmp_path / "a", kubelet="1234"))
    status, output = run("ls", home=home)
    assert status == 0
    assert output.splitlines()[1].split()[:4] == ["kubernetes", "1.35.4", added.digest[:12], "1"]
    (listed,) = json.loads(run("ls", "--json", home=home)[1])
    assert listed["digest"] == added.digest
    assert listed["files"]["kubelet"]["size_bytes"] == 4
    assert run("verify", home=home) == (0, "kubernetes 1.35.4: ok\n")
    (added.binaries / "kubelet").write_text("1235")
    status, output = run("verify", "kubernetes", "1.35.4", home=home)
    assert status == 1
    assert "kubelet was changed" in output
    assert "carinad release rm kubernetes 1.35.4" in output
    assert run("rm", "kubernetes", "1.35.4", home=home)[0] == 0
    assert json.loads(run("ls", "--json", home=home)[1]) == []


def test_the_command_takes_a_version_with_a_name_only_and_one_source_only(home: Path) -> None:
    assert run("verify", "kubernetes", home=home)[0] == 2
    assert run("add", "kubernetes", "1.35.4", "--from", "/nowhere", "--build", home=home)[0] == 2
