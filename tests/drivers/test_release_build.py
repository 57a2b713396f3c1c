"""The release is really built from its Go modules: in minutes on a machine that never did, in no time after."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from drivers.release_parts import kubernetes_part, other_parts
from drivers.release_sources import ReleaseSources, ensure_release
from drivers.releases import Releases
from worker.settings import Settings

VERSION = "1.35.4"
PARTS = {part.name: part for part in (kubernetes_part(VERSION), *other_parts())}


@pytest.fixture(scope="module")
def releases() -> Iterator[Releases]:
    # On the disk of the cache, so that files are linked as they are in a home.
    home = Path(mkdtemp(prefix="carina-test-release-", dir="/var/tmp"))
    yield Releases(home / "releases")
    shutil.rmtree(home)


def said(binary: Path, *words: str) -> str:
    done = subprocess.run([binary, *words], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout + done.stderr


def test_the_release_is_built_and_says_its_versions(releases: Releases) -> None:
    cache = Settings.model_fields["cache"].default
    release = ensure_release(releases, VERSION, cache, print)
    assert said(release.binaries / "kubelet", "--version") == f"Kubernetes v{VERSION}\n"
    for binary in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"):
        assert said(release.binaries / binary, "--version") == f"Kubernetes v{VERSION}\n"
    assert f"Client Version: v{VERSION}" in said(release.binaries / "kubectl", "version", "--client")
    assert f"CoreDNS-{PARTS['coredns'].version}" in said(release.binaries / "coredns", "-version")
    assert f"v{PARTS['flannel'].version}" in said(release.binaries / "flanneld", "--version")
    storage = said(release.binaries / "local-path-provisioner", "--version")
    assert f"v{PARTS['local-path-provisioner'].version}" in storage
    assert f"v{PARTS['metrics-server'].version}" in said(release.binaries / "metrics-server", "--version")
    for binary in release.binaries.iterdir():  # Debian's libraries in a node need not be those of this machine
        dynamic = subprocess.run(["readelf", "-d", binary], capture_output=True, text=True, check=True).stdout
        assert "NEEDED" not in dynamic, binary.name
    assert releases.verify() == {f"kubernetes {VERSION}": []}


def test_a_second_home_has_it_within_a_second(releases: Releases) -> None:
    cache = Settings.model_fields["cache"].default
    first = ensure_release(releases, VERSION, cache, print)
    started = time.monotonic()
    second = ensure_release(Releases(releases.root.parent / "second"), VERSION, cache, print)
    assert time.monotonic() - started < 1
    assert second.digest == first.digest


def test_a_directory_of_built_binaries_makes_the_same_release(releases: Releases) -> None:
    cache = Settings.model_fields["cache"].default
    first = ensure_release(releases, VERSION, cache, print)
    sources = ReleaseSources(Releases(releases.root.parent / "third"), cache, "http://127.0.0.1:9", print)
    assert sources.add("kubernetes", VERSION, given=first.binaries).digest == first.digest
