"""Archives of container images on the service's own disk: one file each, named by the digest of its bytes."""

import errno
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from domain.errors import NotFound, StorageFull
from domain.images import is_digest

_NEW = ".new-"
_ABANDONED_S = 24 * 3600
RESERVE_BYTES = 256 * 1024 * 1024
"""So much of the disk is left free: Carina's database may be on it."""
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class IncomingArchive:
    """An archive that is being written. It is nobody's, and goes with the `with` block, until it is kept."""

    def __init__(self, root: Path, path: Path, file: FileIO, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._root = root
        self._reserve_bytes = reserve_bytes
        self._path = path
        self._hash = hashlib.sha256()
        self.file = file
        self.size_bytes = 0

    @property
    def digest(self) -> str:
        """The digest of what was written so far."""
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, chunk: bytes | bytearray) -> None:
        """Append to it; raise `StorageFull`."""
        if shutil.disk_usage(self._root).free < self._reserve_bytes + len(chunk):
            raise _full(self._root)
        rest = memoryview(chunk)
        with _room_for(self._root):
            while rest:
                rest = rest[self.file.write(rest) :]
        self._hash.update(chunk)
        self.size_bytes += len(chunk)

    def finish(self) -> None:
        """Bring all of it to the disk; raise `StorageFull`."""
        with _room_for(self._root):
            os.fsync(self.file.fileno())

    def keep(self, cluster_id: str) -> None:
        """Make it the cluster's, in place of one with the same bytes; raise `NotFound` if the cluster goes this moment.

        Only a finished archive may be kept.
        """
        target = _file_of(self._root, cluster_id, self.digest)
        with _room_for(self._root):
            target.parent.mkdir(mode=0o700, exist_ok=True)
            try:
                self._path.rename(target)
            except FileNotFoundError:
                raise NotFound(f"There is no cluster {cluster_id} any more.") from None
            for changed in (target.parent, self._root):
                _sync_directory(changed)


class ArchiveFolder:
    """Keeps archives under `root`: `<cluster's id>/<sha256>.tar`. Every call blocks. Fits the port `Archives`."""

    def __init__(self, root: Path, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._root = root
        self._reserve_bytes = reserve_bytes

    @contextmanager
    def incoming(self) -> Iterator[IncomingArchive]:
        """Give an archive to write; whatever is not kept of it in the end is removed.

        What a process that was killed left behind is removed as well, once nobody has written to it for a day.
        """
        with _room_for(self._root):
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._remove_abandoned()
            path = self._root / f"{_NEW}{uuid.uuid4().hex}"
            file = FileIO(path, "x+", opener=lambda name, flags: os.open(name, flags, 0o600))
        try:
            with file:
                yield IncomingArchive(self._root, path, file, reserve_bytes=self._reserve_bytes)
        finally:
            path.unlink(missing_ok=True)

    def path(self, cluster_id: str, digest: str) -> Path:
        """Return where the archive is; raise `NotFound`."""
        path = _file_of(self._root, cluster_id, digest)
        if not path.is_file():
            raise NotFound(f"The cluster {cluster_id} has no archive {digest}.")
        return path

    def discard(self, cluster_id: str, digest: str) -> None:
        """Drop an archive of the cluster. None there is no error."""
        path = _file_of(self._root, cluster_id, digest)
        path.unlink(missing_ok=True)
        with suppress(OSError):  # there are others in it, or it is gone already
            path.parent.rmdir()

    def discard_all(self, cluster_id: str) -> None:
        """Drop all archives of the cluster. None there is no error."""
        folder = _folder_of(self._root, cluster_id)
        if folder.exists():
            shutil.rmtree(folder)

    def _remove_abandoned(self) -> None:
        oldest = time.time() - _ABANDONED_S
        for path in self._root.glob(f"{_NEW}*"):
            try:
                if path.stat().st_mtime < oldest:
                    path.unlink()
            except FileNotFoundError:
                continue  # another upload was here first


def _folder_of(root: Path, cluster_id: str) -> Path:
    if not cluster_id or cluster_id.startswith(".") or Path(cluster_id).name != cluster_id:
        raise NotFound(f"There is no cluster {cluster_id!r}.")
    return root / cluster_id


def _file_of(root: Path, cluster_id: str, digest: str) -> Path:
    if not is_digest(digest):
        raise NotFound(f"There is no archive {digest[:80]!r}.")
    return _folder_of(root, cluster_id) / f"{digest.removeprefix('sha256:')}.tar"


@contextmanager
def _room_for(root: Path) -> Iterator[None]:
    """Turn what the system says of a full disk into our words."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise _full(root) from error
        raise


def _full(root: Path) -> StorageFull:
    return StorageFull(f"{root} has no room left for the archive.")


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
