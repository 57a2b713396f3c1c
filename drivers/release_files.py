"""Sets of binaries on disk: a directory with `bin/` and a manifest that says of each file its hash, size and source.

A set is made under a dot-name and renamed when it is whole, so that one that is there is complete.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

Say = Callable[[str], None]
"""Is told, in words for people, what is being done."""

MANIFEST = "manifest.json"
_CHUNK_BYTES = 1 << 20
_MODE = 0o555


@dataclass(frozen=True, slots=True)
class FileFact:
    """What is known of a binary: SHA-256 in hex, size in bytes, and where it came from, in words."""

    sha256: str
    size_bytes: int
    source: str


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A binary that a source has, at a path of Carina's own: nobody writes to it again."""

    path: Path
    fact: FileFact


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a set is, and the facts of its files by name."""

    name: str
    version: str
    files: Mapping[str, FileFact]

    @property
    def digest(self) -> str:
        """The set's digest: SHA-256 over its name, its version and its files' hashes, in order of their names."""
        lines = [f"{file} {fact.sha256}" for file, fact in sorted(self.files.items())]
        return hashlib.sha256("\n".join([self.name, self.version, *lines]).encode()).hexdigest()


def read_manifest(directory: Path) -> Manifest | None:
    """Return the manifest of a set, or None if there is no set. Raises `ValueError` if it can't be read."""
    try:
        content = json.loads((directory / MANIFEST).read_bytes())
    except FileNotFoundError:
        return None
    try:
        files = {name: FileFact(**fact) for name, fact in content["files"].items()}
        return Manifest(content["name"], content["version"], files)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{directory / MANIFEST} is not a manifest") from error


def found_files(directory: Path, manifest: Manifest) -> dict[str, FoundFile]:
    """Return the files of a set, by name."""
    return {name: FoundFile(directory / "bin" / name, fact) for name, fact in manifest.files.items()}


def damage(directory: Path, *, hashes: bool = True) -> list[str]:
    """Say what is wrong with a set, one line for each file; with `hashes` off only what a look at sizes tells."""
    try:
        manifest = read_manifest(directory)
    except ValueError as error:
        return [str(error)]
    if manifest is None:
        return [f"{directory / MANIFEST} is not there"]
    there = {path.name: path for path in (directory / "bin").glob("*")}
    found = [f"{there[name]} is not in the manifest" for name in sorted(there.keys() - manifest.files.keys())]
    for name, fact in sorted(manifest.files.items()):
        path = there.get(name)
        if path is None:
            found.append(f"{directory / 'bin' / name} is not there")
        elif (size := path.stat().st_size) != fact.size_bytes:
            found.append(f"{path} has {size} bytes in place of {fact.size_bytes}")
        elif hashes and (sha256 := hash_file(path)) != fact.sha256:
            found.append(f"{path} was changed: its SHA-256 is {sha256} in place of {fact.sha256}")
    return found


def write_set(directory: Path, manifest: Manifest, fill: Callable[[Path], None]) -> None:
    """Make a set: `fill` puts the files into the directory that it is given. The caller holds the set's lock."""
    new = directory.with_name(f".new-{directory.name}")
    if new.exists():  # what a killed run left
        shutil.rmtree(new)
    (new / "bin").mkdir(parents=True)
    try:
        fill(new / "bin")
        with (new / MANIFEST).open("w", encoding="utf-8") as file:
            json.dump(asdict(manifest), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        new.rename(directory)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def place(files: Mapping[str, FoundFile], target: Path) -> None:
    """Put files into a directory as hard links; as copies where the file system is another one."""
    for name, file in files.items():
        try:
            os.link(file.path, target / name)
        except OSError:
            shutil.copyfile(file.path, target / name)
            (target / name).chmod(_MODE)


def keep_stream(stream: IO[bytes], target: Path, source: str) -> FoundFile:
    """Write a stream to a new file that can be run, and return its facts."""
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as file:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
    target.chmod(_MODE)
    return FoundFile(target, FileFact(digest.hexdigest(), size, source))


def hash_file(path: Path, algorithm: str = "sha256") -> str:
    """Return a file's hash in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


@contextmanager
def locked(path: Path, say: Say | None = None) -> Iterator[None]:
    """Hold a lock file among all processes of the machine; `say` is told if another one has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if say is not None:
                say("another one is at it; waiting for that")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
