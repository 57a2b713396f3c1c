"""How the service reaches its hosts."""

import asyncio
import stat
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import asyncssh
import pytest

from domain.errors import HostUnreachable
from domain.hosts import Host, Login
from drivers.ssh import SshShell, SshTarget
from drivers.ssh_identity import ensure_identity, public_path
from worker.reach import host_shells, own_identity

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAMzgkVsZb1aKsJFfMEzMRSvfBLBPBFM7R5TeJm8f9N8"


def target(home: Path, login: Login) -> SshTarget:
    shell = host_shells(home)(Host("1", "rack1", "192.0.2.1", "/srv", login=login))
    assert isinstance(shell, SshShell)
    return shell.target


def test_a_host_without_an_identity_is_shown_the_service_s_own_key_and_an_agent_s(tmp_path: Path) -> None:
    found = target(tmp_path, Login(user="admin", port=2222, host_key=KEY))
    assert found == SshTarget("192.0.2.1", 2222, "admin", own_identity(tmp_path), KEY, agent=True)
    assert stat.S_IMODE(own_identity(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(own_identity(tmp_path).parent.stat().st_mode) == 0o700


def test_a_host_with_an_identity_is_shown_that_alone(tmp_path: Path) -> None:
    assert target(tmp_path, Login(identity="/root/key")) == SshTarget("192.0.2.1", identity=Path("/root/key"))
    assert not own_identity(tmp_path).exists()


def test_processes_that_make_the_key_at_once_have_one_pair(tmp_path: Path) -> None:
    path = own_identity(tmp_path)
    with ProcessPoolExecutor(4, mp_context=get_context("fork")) as pool:
        assert set(pool.map(partial(ensure_identity, comment="carina"), [path] * 4)) == {path}
    private, public = asyncssh.read_private_key(str(path)), asyncssh.read_public_key(str(public_path(path)))
    assert private.convert_to_public() == public
    public_path(path).unlink()
    ensure_identity(path, comment="carina")
    assert asyncssh.read_public_key(str(public_path(path))) == public
    assert {file.name for file in path.parent.iterdir()} == {path.name, f"{path.name}.pub"}


def test_connections_are_kept_to_one_event_loop() -> None:
    shell = SshShell(SshTarget("127.0.0.1", 1, host_key=KEY))
    with pytest.raises(HostUnreachable):
        asyncio.run(shell.run("true", timeout_s=5))
    with pytest.raises(RuntimeError, match="another event loop"):
        asyncio.run(shell.run("true", timeout_s=5))
