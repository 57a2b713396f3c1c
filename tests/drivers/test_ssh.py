"""What is SSH's own: who is let in and trusted, what a cut does on both sides, many scripts at a time, much input."""

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import sshd as servers
from sshd import WITH_SUDO, WITHOUT_SUDO, Sshd

from domain.errors import HostAccessDenied, HostKeyChanged, HostNotReady, HostUnreachable, InvalidInput
from domain.hosts import Host
from drivers.process_groups import group_runs
from drivers.shell import LocalShell, ScriptTimedOut, Shell
from drivers.shells import HostShells
from drivers.ssh import ScriptCut, SshShell, SshTarget, presented_key

MIB = 2**20
LONG = 'echo $$ > "$1"; sleep 600 & wait'
KEPT_S = 5.0


@contextlib.asynccontextmanager
async def connected(target: SshTarget, keep_alive_s: float = 15) -> AsyncIterator[SshShell]:
    shell = SshShell(target, keep_alive_s=keep_alive_s)
    try:
        yield shell
    finally:
        await shell.close()


@pytest.fixture(scope="module")
async def shell(sshd: Sshd) -> AsyncIterator[SshShell]:
    async with connected(sshd.target()) as shell:
        yield shell


async def refused(target: SshTarget) -> Exception:
    """Return the error of a first script on a host that does not take it."""
    async with connected(target) as shell:
        with pytest.raises(Exception, match=str(target.port)) as error:
            await shell.run("true", timeout_s=10)
        return error.value


def number_in(mark: Path) -> int:
    """Return the process id that a script has written, or 0 if it has not yet."""
    return int((mark.exists() and mark.read_text()) or 0)


async def written(mark: Path) -> int:
    async with asyncio.timeout(10):
        while not (pid := number_in(mark)):  # noqa: ASYNC110 - a file tells of itself only when asked
            await asyncio.sleep(0.005)
    return pid


def keygen(*arguments: str | Path) -> str:
    return subprocess.run(["ssh-keygen", *arguments], capture_output=True, text=True, check=True).stdout


async def ended(group: int, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while group_runs(group):  # noqa: ASYNC110 - processes tell of themselves only when asked
            await asyncio.sleep(0.02)


# Who is trusted, and who is let in


async def test_nothing_connects_without_a_pinned_key(sshd: Sshd) -> None:
    before = sshd.log()
    error = await refused(sshd.target(host_key=""))
    assert isinstance(error, HostNotReady)
    assert "fingerprint" in error.remedy
    assert sshd.log() == before


async def test_a_host_presents_its_key_to_be_confirmed(sshd: Sshd) -> None:
    key = await presented_key("127.0.0.1", sshd.port)
    assert (key.line, key.fingerprint) == (sshd.host_key, keygen("-lf", sshd.home / "host.pub").split()[1])


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
async def test_another_key_than_the_pinned_one_is_refused_for_good(sshd: Sshd, tmp_path: Path, kind: str) -> None:
    keygen("-q", "-t", kind, "-N", "", "-f", tmp_path / "key")
    error = await refused(sshd.target(host_key=(tmp_path / "key.pub").read_text()))
    assert isinstance(error, HostKeyChanged)
    assert not error.retryable
    assert (await presented_key("127.0.0.1", sshd.port)).fingerprint in error.detail


async def test_a_pinned_key_has_to_be_one(sshd: Sshd) -> None:
    async with connected(sshd.target(host_key="ssh-ed25519 nonsense")) as shell:
        with pytest.raises(InvalidInput):
            await shell.run("true", timeout_s=10)


async def test_a_key_that_the_host_does_not_accept_is_told_for_good(sshd: Sshd) -> None:
    error = await refused(sshd.target(identity=sshd.home / "stranger"))
    assert isinstance(error, HostAccessDenied)
    assert not error.retryable
    assert "authorized_keys of root" in error.remedy


async def test_an_identity_that_can_not_be_used_says_why(sshd: Sshd, tmp_path: Path) -> None:
    keygen("-q", "-t", "ed25519", "-N", "secret", "-f", tmp_path / "locked")
    (tmp_path / "empty").touch()
    for name, why in {"none": "No such file", "locked": "assphrase", "empty": "nvalid"}.items():
        error = await refused(sshd.target(identity=tmp_path / name))
        assert isinstance(error, HostAccessDenied)
        assert why in error.detail


@pytest.fixture
def agent(sshd: Sshd, tmp_path: Path) -> Iterator[Path]:
    """An ssh-agent with the key that is let in."""
    socket = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            time.sleep(0.01)
        command = ["ssh-add", "-q", sshd.home / "client"]
        subprocess.run(command, env=os.environ | {"SSH_AUTH_SOCK": str(socket)}, check=True)
        yield socket
    finally:
        process.kill()
        process.wait()


async def test_an_agent_lets_in_too(sshd: Sshd, agent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    async with connected(sshd.target(identity=None)) as shell:
        assert (await shell.run("echo in", timeout_s=10)).text == "in\n"


async def test_a_host_that_is_not_there_is_told_and_may_be_tried_again(sshd: Sshd) -> None:
    error = await refused(sshd.target(port=1))
    assert isinstance(error, HostUnreachable)
    assert error.retryable
    with pytest.raises(HostUnreachable):
        await presented_key("127.0.0.1", 1)


async def test_a_host_that_accepts_and_is_silent_is_given_up_in_time(sshd: Sshd) -> None:
    silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    begun = time.monotonic()
    async with silent:
        error = await refused(sshd.target(port=silent.sockets[0].getsockname()[1]))
    assert isinstance(error, HostUnreachable)
    assert "did not answer in 10 s" in error.detail
    assert time.monotonic() - begun < 15


async def test_a_user_with_sudo_works_as_root_and_is_ended_as_root(sshd: Sshd, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    async with connected(sshd.target(user=WITH_SUDO)) as shell:
        assert (await shell.run('id -u; cat; echo "$1"', args=("a 'b'",), stdin=b"in ", timeout_s=10)).text == (
            "0\nin a 'b'\n"
        )
        with pytest.raises(ScriptTimedOut):
            await shell.run(LONG, args=(str(mark),), timeout_s=2)
        assert not group_runs(int(mark.read_text()))


async def test_a_user_without_sudo_is_told_so_for_good(sshd: Sshd) -> None:
    error = await refused(sshd.target(user=WITHOUT_SUDO))
    assert isinstance(error, HostAccessDenied)
    assert "password is required" in error.detail
    assert f"{WITHOUT_SUDO} ALL=(ALL) NOPASSWD: ALL" in error.remedy


# Cuts


@pytest.mark.parametrize("user", ["root", WITH_SUDO])
async def test_a_cut_ends_the_script_there_and_is_told_here(sshd: Sshd, tmp_path: Path, user: str) -> None:
    mark, daemon = tmp_path / "mark", tmp_path / "daemon"
    script = f'setsid bash -c "echo \\$\\$ > $2; exec sleep 600" < /dev/null &> /dev/null & {LONG}'
    others = sshd.session_pids()
    async with connected(sshd.target(user=user)) as shell:
        run = asyncio.create_task(shell.run(script, args=(str(mark), str(daemon)), timeout_s=60, what="Working"))
        group, detached = await written(mark), await written(daemon)
        sshd.cut(sshd.session_pids() - others)
        with pytest.raises(ScriptCut, match=r"Working: .* may have run") as error:
            await run
        assert error.value.retryable
        await ended(group, KEPT_S)
        assert group_runs(detached)
        os.kill(detached, signal.SIGKILL)
        assert (await shell.run("echo again", timeout_s=10)).text == "again\n"


async def test_a_script_that_never_reads_much_input_ends_with_its_connection(sshd: Sshd, tmp_path: Path) -> None:
    file, mark = tmp_path / "in", tmp_path / "mark"
    with file.open("wb") as content:
        content.truncate(64 * MIB)
    others = sshd.session_pids()
    async with connected(sshd.target()) as shell:
        run = asyncio.create_task(shell.run(LONG, args=(str(mark),), stdin=file, timeout_s=60))
        group = await written(mark)
        sshd.cut(sshd.session_pids() - others)
        with pytest.raises(ScriptCut):
            await run
        await ended(group, KEPT_S)


async def test_a_connection_without_its_keeper_is_given_up_and_made_anew(sshd: Sshd, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    async with connected(sshd.target()) as shell:
        run = asyncio.create_task(shell.run(LONG, args=(str(mark),), timeout_s=60))
        group = await written(mark)
        [connection] = shell._connections
        os.kill(connection._keeper.pid, signal.SIGKILL)
        with pytest.raises(ScriptCut):
            await run
        await ended(group, KEPT_S)
        assert (await shell.run("echo again", timeout_s=10)).text == "again\n"


async def test_a_shell_that_is_closed_leaves_nothing_running(sshd: Sshd, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    others = sshd.session_pids()
    async with connected(sshd.target()) as shell:
        run = asyncio.create_task(shell.run(LONG, args=(str(mark),), timeout_s=60))
        group = await written(mark)
    with pytest.raises(ScriptCut):
        await run
    with pytest.raises(HostUnreachable, match="has not run"):
        await shell.run("true", timeout_s=10)
    await ended(group, KEPT_S)
    async with asyncio.timeout(KEPT_S):
        while sshd.session_pids() - others:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)


class Wire:
    """A TCP relay that can fall silent, as a network does that loses all packets."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._open = asyncio.Event()
        self._open.set()
        self._ends: list[asyncio.StreamWriter] = []

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for end in self._ends:
                end.transport.abort()
            self._open.set()

    def fall_silent(self) -> None:
        self._open.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._ends += [writer, far_writer]
        await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()


async def test_a_silent_network_ends_the_script_before_its_caller_is_told(sshd: Sshd, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    wire = Wire(sshd.port)
    async with wire.up() as port, connected(sshd.target(port=port), keep_alive_s=1.5) as shell:
        run = asyncio.create_task(shell.run(LONG, args=(str(mark),), timeout_s=60))
        group = await written(mark)
        wire.fall_silent()
        with pytest.raises(ScriptCut):
            await run
        assert not group_runs(group)


# Many, and much


async def test_many_scripts_at_a_time_share_few_connections(sshd: Sshd) -> None:
    before = sshd.log().count("Accepted publickey")
    async with connected(sshd.target()) as shell:
        begun = time.monotonic()
        results = await asyncio.gather(
            *(shell.run('sleep 0.2; echo "$1"', args=(str(number),), timeout_s=30) for number in range(50))
        )
        took_s = time.monotonic() - begun
    assert [result.text for result in results] == [f"{number}\n" for number in range(50)]
    connections = sshd.log().count("Accepted publickey") - before
    assert connections <= 4
    print(f"\n50 scripts of 0.2 s over {connections} connections: {took_s:.2f} s")  # noqa: T201 - a figure to look at


async def test_a_host_that_allows_few_sessions_makes_scripts_wait(tmp_path: Path) -> None:
    with servers.running(tmp_path, "MaxSessions 3") as sshd:
        async with connected(sshd.target()) as shell:
            await asyncio.gather(*(shell.run("sleep 0.1", timeout_s=10) for _ in range(20)))


async def test_a_host_that_allows_one_session_is_told_what_to_change(tmp_path: Path) -> None:
    with servers.running(tmp_path, "MaxSessions 1") as sshd:
        error = await refused(sshd.target())
    assert isinstance(error, HostNotReady)
    assert "MaxSessions" in error.remedy


async def test_a_caller_who_leaves_does_not_end_the_connection_that_others_wait_for(sshd: Sshd) -> None:
    async with connected(sshd.target()) as shell:
        first = asyncio.create_task(shell.run("true", timeout_s=10))
        second = asyncio.create_task(shell.run("echo here", timeout_s=10))
        await asyncio.sleep(0.01)
        first.cancel()
        assert (await second).text == "here\n"


async def test_a_long_file_is_sent_in_little_memory(shell: SshShell, tmp_path: Path) -> None:
    file = tmp_path / "in"
    with file.open("wb") as content:
        content.truncate(200 * MIB)
    await shell.run("cat", stdin=b"warm", timeout_s=10)
    begun_kib = kib = _resident_kib()
    begun = time.monotonic()
    run = asyncio.create_task(shell.run("wc -c", stdin=file, timeout_s=120))
    while not run.done():
        await asyncio.wait({run}, timeout=0.02)
        kib = max(kib, _resident_kib())
    assert (await run).text == f"{200 * MIB}\n"
    print(f"\n200 MiB in {time.monotonic() - begun:.2f} s, {(kib - begun_kib) / 1024:.0f} MiB of memory")  # noqa: T201
    assert kib - begun_kib < 32 * 1024


async def test_a_script_over_a_kept_connection_is_quick(shell: SshShell) -> None:
    local = LocalShell()
    for name, one in (("ssh", shell), ("local", local)):
        await one.run("true", timeout_s=10)
        begun, used = time.monotonic(), time.process_time()
        for _ in range(50):
            await one.run("true", timeout_s=10)
        took_ms, used_ms = (time.monotonic() - begun) * 20, (time.process_time() - used) * 20
        print(f"\na run of 'true', {name}: {took_ms:.1f} ms, {used_ms:.1f} ms of this process")  # noqa: T201


async def test_what_a_login_shell_says_is_not_the_script_s(sshd: Sshd) -> None:
    noisy = sshd.home / "etc" / ".bashrc"
    noisy.write_text("echo welcome; echo careful >&2; printf unended\n")
    try:
        async with connected(sshd.target()) as shell:
            result = await shell.run("echo out; echo err >&2", timeout_s=10)
    finally:
        noisy.unlink()
    assert (result.stdout, result.stderr) == (b"out\n", b"err\n")


async def test_a_script_too_long_for_a_command_line_is_refused_here(shell: SshShell) -> None:
    with pytest.raises(ValueError, match="use its input"):
        await shell.run("true", args=("x" * 140_000,), timeout_s=10)


# The shells of all hosts


async def test_each_host_has_one_shell_however_often_it_is_asked_for(sshd: Sshd) -> None:
    here = Host("1", "here", "local", "/srv")
    there = Host("2", "there", "127.0.0.1", "/srv")
    shells = HostShells(lambda host: sshd.target(address=host.address))
    assert isinstance(shells(here), LocalShell)
    shell: Shell = shells(there)
    assert shells(there) is shell
    assert (await shell.run("echo up", timeout_s=10)).text == "up\n"
    await shells.forget("127.0.0.1", sshd.port)
    assert shells(there) is not shell
    await shells.close()


def _resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024
