"""Host keys: what a host presents before it is trusted, and the key that is pinned once it is."""

from dataclasses import dataclass
from typing import Any

import asyncssh

from domain.errors import HostUnreachable, InvalidInput

CONNECT_TIMEOUT_S = 10.0

# Carina's own: no file of the user that it runs as changes how it connects, and no certificates stand in for keys.
COMMON_OPTIONS: dict[str, Any] = {
    "config": None,
    "x509_trusted_certs": None,
    "connect_timeout": CONNECT_TIMEOUT_S,
    "encryption_algs": "^aes256-gcm@openssh.com,aes128-gcm@openssh.com",  # half the processor time of asyncssh's first
}


@dataclass(frozen=True, slots=True)
class HostKey:
    """A host's public key: `line` is what gets pinned, `fingerprint` (SHA256:...) what people compare."""

    line: str
    fingerprint: str


async def presented_key(address: str, port: int = 22) -> HostKey:
    """Return the key that a host presents now, for somebody to confirm. Raises `HostUnreachable`."""
    try:
        options = asyncssh.SSHClientConnectionOptions(**COMMON_OPTIONS)
        key = await asyncssh.get_server_host_key(address, port, config=None, options=options)
    except (OSError, asyncssh.Error) as error:
        raise HostUnreachable(f"{address} port {port}: {reason(error)}") from error
    if key is None:
        raise HostUnreachable(f"{address} port {port}: it presented no key.")
    return described(key)


def described(key: asyncssh.SSHKey) -> HostKey:
    """Return a key's line, without a comment, and its fingerprint."""
    kind, base64, *_ = key.export_public_key("openssh").decode().split()
    return HostKey(f"{kind} {base64}", key.get_fingerprint())


def parsed(line: str) -> asyncssh.SSHKey:
    """Return the key of an OpenSSH public key line; raise `InvalidInput` if it is none."""
    try:
        return asyncssh.import_public_key(line)
    except asyncssh.KeyImportError as error:
        raise InvalidInput(
            "The host key is not an OpenSSH public key line, such as 'ssh-ed25519 AAAA...'.", field="host_key"
        ) from error


def reason(error: OSError | asyncssh.Error) -> str:
    """Return why a host could not be reached, in words."""
    if isinstance(error, TimeoutError):
        return f"it did not answer in {CONNECT_TIMEOUT_S:g} s."
    if isinstance(error, asyncssh.Error):
        return error.reason
    return error.strerror or str(error)
