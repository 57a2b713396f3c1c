"""The releases that an instance has: the binaries that clusters of a version are made of. No release, no cluster."""

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import structlog

from domain.errors import Conflict, ReleaseMissing, ReleaseUnavailable
from drivers.release_files import FoundFile, Manifest, damage, locked, place, read_manifest, write_set

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Release:
    """A set of binaries, in `path`/bin, named by what is in it: `digest` changes when any of the files does."""

    name: str
    version: str
    digest: str
    path: Path

    @property
    def binaries(self) -> Path:
        """The directory of the binaries."""
        return self.path / "bin"


@dataclass(frozen=True, slots=True)
class Releases:
    """The releases under one directory: `<name>-<version>/{manifest.json, bin/*}`."""

    root: Path

    def get(self, name: str, version: str) -> Release:
        """Return a release. Raises `ReleaseMissing`, or `ReleaseUnavailable` if it is damaged."""
        path = self._path(name, version)
        manifest = _read(path)
        if manifest is None:
            raise ReleaseMissing(
                f"There is no release of {name} {version} in {self.root}.",
                remedy=f"Add it with 'carinad release add {name} {version}'.",
            )
        return Release(name, version, manifest.digest, path)

    def all(self) -> list[Release]:
        """Return all releases, in order of name and version."""
        found = []
        for path in self.root.glob("[!.]*-*"):
            manifest = _read(path)
            if manifest is not None:
                found.append(Release(manifest.name, manifest.version, manifest.digest, path))
        return sorted(found, key=lambda release: (release.name, _numbers(release.version)))

    def manifest(self, release: Release) -> Manifest:
        """Return what a release consists of. Raises `ReleaseMissing` if it was removed meanwhile."""
        manifest = _read(release.path)
        if manifest is None:
            raise ReleaseMissing(f"The release {release.name} {release.version} was removed.")
        return manifest

    def add(self, name: str, version: str, files: Mapping[str, FoundFile]) -> Release:
        """Make a release of files, which are linked where that can be. Another one that adds the same is no harm.

        Raises `Conflict` if a release of that name and version is there with other files in it.
        """
        manifest = Manifest(name, version, {file: found.fact for file, found in sorted(files.items())})
        path = self._path(name, version)
        release = Release(name, version, manifest.digest, path)
        with self._lock():
            there = _read(path)
            if there is None:
                write_set(path, manifest, lambda target: place(files, target))
                _log.info("release.added", release=name, version=version, digest=release.digest[:12])
            elif there.digest != release.digest:
                raise Conflict(
                    f"{name} {version} is there already, with other files in it.",
                    remedy=f"Remove that one first: 'carinad release rm {name} {version}'.",
                )
        return release

    def remove(self, name: str, version: str) -> None:
        """Remove a release. Node images that were made of it stay. Raises `ReleaseMissing` if it is not there."""
        with self._lock():
            path = self._path(name, version)
            if not path.is_dir():
                self.get(name, version)
            gone = path.with_name(f".gone-{path.name}")
            shutil.rmtree(gone, ignore_errors=True)
            path.rename(gone)
            shutil.rmtree(gone)
        _log.info("release.removed", release=name, version=version)

    def verify(self, name: str | None = None, version: str | None = None) -> dict[str, list[str]]:
        """Hash every file of one release, or of all; return what is wrong with each ("kubernetes 1.35.4": lines).

        Raises `ReleaseMissing` if the one that was named is not there.
        """
        if name is not None and version is not None:
            path = self._path(name, version)
            if not path.is_dir():
                self.get(name, version)
            paths = [path]
        else:
            paths = sorted(path for path in self.root.glob("[!.]*-*") if path.is_dir())
        return {" ".join(path.name.split("-", 1)): damage(path) for path in paths}

    def _path(self, name: str, version: str) -> Path:
        return self.root / f"{name}-{version}"

    def _lock(self) -> AbstractContextManager[None]:
        return locked(self.root / ".lock")


def _read(path: Path) -> Manifest | None:
    try:
        return read_manifest(path)
    except ValueError as error:
        name, version = path.name.split("-", 1)
        raise ReleaseUnavailable(
            f"The release in {path} is damaged: {error}.",
            remedy=f"Run 'carinad release rm {name} {version}' and 'carinad release add {name} {version}'.",
        ) from error


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
