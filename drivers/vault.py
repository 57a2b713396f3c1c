"""Seals secrets for rest, under a key in a file.

A sealed value is: format (1 byte), key id (8), nonce (12), AES-256-GCM ciphertext with its tag (NIST SP 800-38D).
Format, key id and context are authenticated with it. The key id tells under which key a value was sealed, so that keys
can be changed later without guessing.
"""

import hashlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.errors import SecretUnreadable, Unavailable

_FORMAT = b"\x01"
_KEY_BYTES = 32
_KEY_ID_BYTES = 8
_NONCE_BYTES = 12
_HEADER_BYTES = len(_FORMAT) + _KEY_ID_BYTES
_OTHERS = 0o077


class FileVault:
    """A vault whose key is in the file `path`, made with mode 0600 when it is first needed.

    Its methods raise `Unavailable` if the file can't be used: others may read it, or it holds no key.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loaded: tuple[bytes, AESGCM] | None = None

    def seal(self, secret: bytes, *, context: str) -> bytes:
        """Return `secret` encrypted and authenticated, bound to `context`."""
        key_id, cipher = self._cipher()
        header = _FORMAT + key_id
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return header + nonce + cipher.encrypt(nonce, secret, header + context.encode())

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """Return the secret; raise `SecretUnreadable` if key or context are others, or it was altered."""
        key_id, cipher = self._cipher()
        header, nonce, body = (
            sealed[:_HEADER_BYTES],
            sealed[_HEADER_BYTES : _HEADER_BYTES + _NONCE_BYTES],
            sealed[_HEADER_BYTES + _NONCE_BYTES :],
        )
        if header[:1] != _FORMAT or len(nonce) != _NONCE_BYTES:
            raise SecretUnreadable(f"The secret of {context} is not in a format that is known here.")
        if header[1:] != key_id:
            raise SecretUnreadable(
                f"The secret of {context} was sealed under the key {header[1:].hex()}; "
                f"{self._path} holds {key_id.hex()}."
            )
        try:
            return cipher.decrypt(nonce, body, header + context.encode())
        except InvalidTag:
            raise SecretUnreadable(f"The secret of {context} was altered, or sealed for another place.") from None

    def _cipher(self) -> tuple[bytes, AESGCM]:
        if self._loaded is None:
            key = _read_or_make(self._path)
            self._loaded = (hashlib.sha256(b"carina vault key id\0" + key).digest()[:_KEY_ID_BYTES], AESGCM(key))
        return self._loaded


def _read_or_make(path: Path) -> bytes:
    """Return the key in `path`, made first if it is not there. Of processes that race, one makes it for all."""
    if not path.exists():
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            _link_if_absent(fresh, path)
        finally:
            fresh.unlink()
        _sync_directory(path.parent)
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        key = file.read(_KEY_BYTES + 1)
    if state.st_mode & _OTHERS:
        raise Unavailable(
            f"Others than its owner may read the vault's key {path} (mode {state.st_mode & 0o777:04o}).",
            remedy=f"Run 'chmod 600 {path}', and find out who could read it meanwhile.",
        )
    if len(key) != _KEY_BYTES:
        raise Unavailable(
            f"{path} is no vault key: {_KEY_BYTES} bytes are expected.", remedy=f"Restore {path} from a backup."
        )
    return key


def _link_if_absent(fresh: Path, path: Path) -> None:
    """Give the whole file its name, unless another process was first: then that one's key counts."""
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        return


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
