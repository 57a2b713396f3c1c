"""Files that are nobody else's business: private from their first moment, and replaced whole."""

import os
from pathlib import Path


def make_private(directory: Path) -> None:
    """Make the directory, and parents that lack, for its owner alone. One that exists is left as it is."""
    for path in reversed([directory, *directory.parents]):
        if not path.is_dir():
            path.mkdir(mode=0o700, exist_ok=True)


def replace(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace a file in one step: whoever reads it, also after a power cut, finds the old one or the new one."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.chmod(mode)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
