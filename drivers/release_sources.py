"""Where a release comes from: a file or directory of the operator's, the official archive, or a build."""

import fcntl
import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from domain.errors import InvalidInput, ReleaseMissing, ReleaseUnavailable
from drivers.go_toolchain import find_go
from drivers.release_archive import ArchiveServer, NotServed, read_sha512, unpack
from drivers.release_build import PartBuilder
from drivers.release_files import (
    FoundFile,
    Manifest,
    Say,
    damage,
    found_files,
    hash_file,
    keep_stream,
    locked,
    place,
    read_manifest,
    write_set,
)
from drivers.release_parts import KUBERNETES, Part, buildable_versions, kubernetes_part, other_parts
from drivers.releases import Release, Releases

_VERSION = re.compile(r"[1-9]\d{0,2}\.\d{1,3}\.\d{1,3}")
_TELL_VERSION = ("kubelet", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
_RUN_TIMEOUT_S = 60.0


def ensure_release(releases: Releases, version: str, cache: Path, say: Say = lambda _: None) -> Release:
    """Return the release of a version of Kubernetes, made of what the machine built before; built now if it did not.

    What was built is taken as it is, by its size: it takes milliseconds. Raises `ReleaseUnavailable`.
    """
    try:
        return releases.get(KUBERNETES, version)
    except ReleaseMissing:
        builder = PartBuilder(cache / "builds", find_go(cache / "go"), say)
        files: dict[str, FoundFile] = {}
        for part in (_pinned(version), *other_parts()):
            files |= builder.binaries(part)
        return releases.add(KUBERNETES, version, files)


@dataclass(frozen=True, slots=True)
class ReleaseSources:
    """Adds releases. `cache` is shared by the instances of a machine; `archives` is the official archive's server."""

    releases: Releases
    cache: Path
    archives: str
    say: Say

    def add(self, name: str, version: str, *, given: Path | None = None, build: bool = False) -> Release:
        """Add a release: from what is `given`, else from the official archive, else (or with `build`) by building.

        What Kubernetes' own archive does not have (DNS, network, storage, metrics) comes from a given directory, else
        is built. A release that is there stays as it is. Raises `InvalidInput` (no such name, version or path),
        `ReleaseUnavailable` (the error tells what to do), `Conflict` (another one of that version is there).
        """
        version = _checked(name, version)
        if given is None and not build:
            try:
                return self.releases.get(name, version)
            except ReleaseMissing:
                pass
        kubernetes = kubernetes_part(version)
        with _staging(self.releases.root) as staging:
            if given is not None:
                files = self._given(given, kubernetes, staging)
            elif build:
                files = self._built(_pinned(version))
            else:
                files = self._official(kubernetes)
            for part in other_parts():
                if not part.binaries <= files.keys():
                    files |= self._built(part)
            _check_versions(files, version)
            return self.releases.add(name, version, files)

    def _given(self, given: Path, kubernetes: Part, staging: Path) -> dict[str, FoundFile]:
        """Copy what is wanted of an operator's file or directory, which stay theirs."""
        if given.is_dir():
            wanted = kubernetes.binaries.union(*(part.binaries for part in other_parts()))
            there = {name: given / name for name in sorted(wanted) if (given / name).is_file()}
            if missing := sorted(kubernetes.binaries - there.keys()):
                raise ReleaseUnavailable(
                    f"{given} has no {', '.join(missing)}.", remedy="Name a directory that has all binaries in it."
                )
            files = {}
            for name, path in there.items():
                with path.open("rb") as stream:
                    files[name] = keep_stream(stream, staging / name, str(path))
            return files
        if not given.is_file():
            raise InvalidInput(f"{given} is neither a file nor a directory.", remedy="Check the path after --from.")
        published = given.with_name(f"{given.name}.sha512")
        if published.is_file() and read_sha512(published.read_text(), str(published)) != hash_file(given, "sha512"):
            raise ReleaseUnavailable(f"{given} is not the file that {published} is about.", remedy="Fetch it again.")
        self.say(f"unpacking {given}")
        return unpack(given, kubernetes.binaries, staging, str(given))

    def _official(self, kubernetes: Part) -> dict[str, FoundFile]:
        """Take Kubernetes' binaries from the official archive, or build them if it can't be had."""
        server = ArchiveServer(self.archives, self.say)
        url, version = server.url(kubernetes.version), kubernetes.version
        kept = self.cache / "archives" / hashlib.sha256(url.encode()).hexdigest()
        with locked(kept.with_name(f".lock-{kept.name}"), self.say):
            manifest = read_manifest(kept)
            if manifest is not None and not damage(kept):
                return found_files(kept, manifest)
            shutil.rmtree(kept, ignore_errors=True)
            try:
                archive = server.fetch(version, self.cache / "archives")
            except NotServed as reason:
                if version not in buildable_versions():
                    raise _unknown(version, str(reason)) from reason
                self.say(f"{reason}; building it")
                return self._built(kubernetes)
            with _staging(kept.parent) as staging:
                self.say(f"unpacking {url}")
                files = unpack(archive, kubernetes.binaries, staging, url)
                manifest = Manifest(KUBERNETES, version, {name: file.fact for name, file in files.items()})
                write_set(kept, manifest, lambda target: place(files, target))
            archive.unlink()
            return found_files(kept, manifest)

    def _built(self, part: Part) -> dict[str, FoundFile]:
        return PartBuilder(self.cache / "builds", find_go(self.cache / "go"), self.say, distrust=True).binaries(part)


@contextmanager
def _staging(parent: Path) -> Iterator[Path]:
    """Give a directory for this process alone, and clear away what killed ones left: a directory without a holder."""
    with ExitStack() as held:
        with locked(parent / ".lock-staging"):
            for left in parent.glob(".staging-*"):
                with (left / "holder").open("a") as holder:
                    try:
                        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        continue
                    shutil.rmtree(left)
            staging = Path(mkdtemp(prefix=".staging-", dir=parent))
            held.enter_context(locked(staging / "holder"))
        try:
            (staging / "files").mkdir()
            yield staging / "files"
        finally:
            with locked(parent / ".lock-staging"):
                shutil.rmtree(staging)


def _checked(name: str, version: str) -> str:
    if name != KUBERNETES:
        raise InvalidInput(f"There are no releases of {name!r}.", remedy=f"'{KUBERNETES}' is what there is.")
    number = version.removeprefix("v")
    if not _VERSION.fullmatch(number):
        raise InvalidInput(
            f"{version!r} is not a version of Kubernetes.",
            remedy=f"Give all three numbers: {buildable_versions()[-1]}.",
        )
    return number


def _pinned(version: str) -> Part:
    if version not in buildable_versions():
        raise _unknown(version, "its modules are not pinned here")
    return kubernetes_part(version)


def _unknown(version: str, reason: str) -> ReleaseUnavailable:
    versions = ", ".join(buildable_versions())
    return ReleaseUnavailable(
        f"Kubernetes {version} can't be had: {reason}. It can't be built either: these can: {versions}.",
        remedy="Check the version and the server's address (CARINA_RELEASE_ARCHIVES), or name a file: --from.",
    )


def _check_versions(files: Mapping[str, FoundFile], version: str) -> None:
    """See that the binaries run here and are of the version that they are taken for."""
    for name in _TELL_VERSION:
        path = files[name].path
        try:
            done = subprocess.run(
                [path, "--version"], capture_output=True, text=True, check=False, timeout=_RUN_TIMEOUT_S
            )
        except OSError as error:
            raise ReleaseUnavailable(f"{name} from {files[name].fact.source} does not run here: {error}") from error
        if f"v{version}" not in done.stdout.split():
            said = (done.stdout or done.stderr).strip()[:200]
            raise ReleaseUnavailable(
                f"{name} from {files[name].fact.source} is not of version {version}: it says {said!r}.",
                remedy="Give the version that it has, or another source.",
            )
