"""The key pair with which the service itself logs in to hosts."""

import contextlib
import os
from pathlib import Path

import asyncssh


def ensure_identity(path: Path, *, comment: str) -> Path:
    """Return `path`, the file of a private key (Ed25519, no passphrase), made with its `.pub` unless it is there.

    Of processes that make it at once, one wins, and all have the same key.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
        _write_once(path, key.export_private_key("openssh"), mode=0o600)
    public = public_path(path)
    if not public.exists():
        kept = asyncssh.read_private_key(str(path))
        _write_once(public, kept.export_public_key("openssh"), mode=0o644)
    return path


def public_path(path: Path) -> Path:
    """Return where the public key of an identity is: the line for authorized_keys(5)."""
    return path.with_name(f"{path.name}.pub")


def _write_once(path: Path, content: bytes, *, mode: int) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(new)
    finally:
        new.unlink()
