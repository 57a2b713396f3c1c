"""A part of a release, built from its pinned Go modules: once for each machine, whatever instance asks."""

import hashlib
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from domain.errors import ReleaseUnavailable
from drivers.go_toolchain import GoToolchain, architecture
from drivers.release_files import (
    FileFact,
    FoundFile,
    Manifest,
    Say,
    damage,
    found_files,
    hash_file,
    locked,
    read_manifest,
    write_set,
)
from drivers.release_parts import Part

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PartBuilder:
    """Builds parts, and keeps them under `root`/<digest of all that went into the build>.

    `distrust` makes it hash what it kept before it gives that out, and build anew what is damaged.
    """

    root: Path
    go: GoToolchain
    say: Say
    distrust: bool = False

    def binaries(self, part: Part) -> dict[str, FoundFile]:
        """Return the part's binaries, built if they are not there.

        Raises `ReleaseUnavailable` if the modules or a compiler can't be had.
        """
        kept = self.root / self.digest(part)
        if found := self._kept(kept):
            return found
        with locked(self.root / f".lock-{kept.name}", lambda line: self.say(f"{part.name} {part.version}: {line}")):
            if found := self._kept(kept):
                return found
            if kept.exists():
                self.say(f"{part.name} {part.version}: what was kept of it is damaged, and is built anew")
                shutil.rmtree(kept)
            return self._build(part, kept)

    def digest(self, part: Part) -> str:
        """Return the digest of all that makes a difference to what is built."""
        inputs = hashlib.sha256()
        arguments = [*_arguments(part), *(package for _, package in part.packages)]
        for word in (self.go.version, architecture(), str(part.cgo), *arguments):
            inputs.update(word.encode() + b"\0")
        for path in sorted(path for path in part.module.rglob("*") if path.is_file()):
            inputs.update(str(path.relative_to(part.module)).encode() + b"\0" + hash_file(path).encode())
        return inputs.hexdigest()

    def _kept(self, directory: Path) -> dict[str, FoundFile] | None:
        if damage(directory, hashes=self.distrust):
            return None
        manifest = read_manifest(directory)
        return found_files(directory, manifest) if manifest else None

    def _build(self, part: Part, kept: Path) -> dict[str, FoundFile]:
        what = f"{part.name} {part.version}"
        if part.cgo and shutil.which("gcc") is None:
            raise ReleaseUnavailable(
                f"{what} has parts in C, and there is no gcc on this machine.",
                remedy="Install gcc and libc6-dev, or name a directory that has the binary: --from.",
            )
        started = time.monotonic()
        self.say(f"{what}: building it with {self.go.version}, which takes minutes the first time")
        work = self.root / f".work-{kept.name}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            self.go.build(
                [*_arguments(part), "-o", f"{work}/", *(package for _, package in part.packages)],
                cwd=part.module,
                cgo=part.cgo,
                say=self.say,
                what=what,
            )
            for binary, package in part.packages:  # Go names a command after the last element of its package
                (work / package.rpartition("/")[2]).rename(work / binary)
                (work / binary).chmod(0o555)
            manifest = Manifest(
                part.name, part.version, {name: self._fact(part, work / name) for name in sorted(part.binaries)}
            )
            write_set(kept, manifest, lambda target: _move(part, work, target))
        finally:
            shutil.rmtree(work, ignore_errors=True)
        took_s = round(time.monotonic() - started, 1)
        self.say(f"{what}: built in {took_s:.0f} s")
        _log.info("release.built", part=part.name, version=part.version, go=self.go.version, took_s=took_s)
        return found_files(kept, manifest)

    def _fact(self, part: Part, path: Path) -> FileFact:
        source = f"built with {self.go.version} from the Go module of {part.name} {part.version}"
        return FileFact(hash_file(path), path.stat().st_size, source)


def _arguments(part: Part) -> list[str]:
    link = ["-s", "-w", *(f"-X {variable}" for variable in part.variables)]
    if part.cgo:
        link += ["-linkmode external", "-extldflags -static"]
    # readonly: a module that go.sum does not pin is an error.
    return ["-mod=readonly", "-trimpath", "-buildvcs=false", f"-tags={part.tags}", f"-ldflags={' '.join(link)}"]


def _move(part: Part, source: Path, target: Path) -> None:
    for binary in part.binaries:
        (source / binary).rename(target / binary)
