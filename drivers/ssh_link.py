"""How a host is reached over SSH: to its pinned key only, with a key of this side's, never with a password."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

from domain.errors import HostAccessDenied, HostKeyChanged, HostNotReady, HostUnreachable
from drivers.ssh_keys import COMMON_OPTIONS, described, parsed, reason

_KEEP_ALIVES = 3


@dataclass(frozen=True, slots=True)
class SshTarget:
    """Where and how a host is reached.

    `host_key` is the pinned key, an OpenSSH public key line; without one nothing connects. `identity` is the path of
    a private key on this machine, tried after the agent's keys if `agent` says so; without one those are tried, and
    those in the places where ssh(1) looks. A `user` who isn't root needs a POSIX shell, and sudo without a password.
    """

    address: str
    port: int = 22
    user: str = "root"
    identity: Path | None = None
    host_key: str = ""
    agent: bool = False

    def __str__(self) -> str:
        return f"{self.user}@{self.address} port {self.port}"


async def link(target: SshTarget, keep_alive_s: float) -> asyncssh.SSHClientConnection:
    """Connect, within 10 s.

    Raises `HostUnreachable`, `HostNotReady` if no key is pinned, and the final `HostKeyChanged` and
    `HostAccessDenied`.
    """
    if not target.host_key:
        raise HostNotReady(
            f"{target}: the host's key is not known, so nothing connects to it.",
            remedy="Compare the fingerprint that the host presents with that of the key on the host, and confirm it.",
        )
    pinned = parsed(target.host_key)
    guard = _Guard(pinned)
    try:
        return await asyncssh.connect(
            target.address,
            target.port,
            username=target.user,
            client_factory=lambda: guard,
            known_hosts=([], [], []),  # none but the guard says whether the host is the right one
            server_host_key_algs=f"^{','.join(alg.decode() for alg in pinned.sig_algorithms)}",
            preferred_auth="publickey",
            keepalive_interval=keep_alive_s,
            keepalive_count_max=_KEEP_ALIVES,
            **await _keys(target),
            **COMMON_OPTIONS,
        )
    except asyncssh.PermissionDenied as error:
        raise HostAccessDenied(
            f"{target}: the host accepts none of the keys that were offered.",
            remedy=f"Put {_public(target)} into .ssh/authorized_keys of {target.user} on the host.",
        ) from error
    except (OSError, asyncssh.Error) as error:
        if guard.stranger is not None:
            raise _changed(target, pinned, guard.stranger) from error
        raise HostUnreachable(f"{target}: {reason(error)}") from error


class _Guard(asyncssh.SSHClient):
    """Accepts the pinned key alone, and remembers another one that the host presented."""

    def __init__(self, pinned: asyncssh.SSHKey) -> None:
        self.stranger: asyncssh.SSHKey | None = None
        self._pinned = pinned

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002
        if key == self._pinned:
            return True
        self.stranger = key
        return False


def _changed(target: SshTarget, pinned: asyncssh.SSHKey, presented: asyncssh.SSHKey) -> HostKeyChanged:
    return HostKeyChanged(
        f"{target}: the host presents the key {described(presented).fingerprint}, "
        f"but the one known of it is {described(pinned).fingerprint}."
    )


async def _keys(target: SshTarget) -> dict[str, Any]:
    """Return the options that say with which keys to knock."""
    if target.identity is None:
        return {}
    try:
        pairs = await asyncio.to_thread(asyncssh.load_keypairs, [str(target.identity)])
    except OSError as error:
        raise _bad_identity(target, str(error.strerror)) from error
    except asyncssh.KeyEncryptionError as error:
        raise _bad_identity(target, "it has a passphrase") from error
    except asyncssh.KeyImportError as error:
        raise _bad_identity(target, str(error)) from error
    return {"client_keys": pairs} if target.agent else {"client_keys": pairs, "agent_path": None}


def _public(target: SshTarget) -> str:
    return "the public key of an identity" if target.identity is None else f"the line in {target.identity}.pub"


def _bad_identity(target: SshTarget, why: str) -> HostAccessDenied:
    return HostAccessDenied(
        f"{target}: the identity {target.identity} can't be used: {why}.",
        remedy="Name a private key without a passphrase that the service can read, or use an agent.",
    )
