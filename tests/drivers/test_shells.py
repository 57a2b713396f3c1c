"""What every shell holds to, on this machine and over SSH: what scripts get, what they say, that they end when cut."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sshd import Sshd

from drivers.process_groups import group_runs
from drivers.shell import LocalShell, ScriptFailed, ScriptTimedOut, Shell
from drivers.ssh import SshShell

LONG = 'echo $$ > "$1"; head -c 3 > "$1.read"; sleep 600 & wait'
ODD = ("a b", "$c `d` \\e", "'\"", "", "two\nlines", "-n", "*", "\N{EURO SIGN}", "!x")


@pytest.fixture(params=["local", "ssh"], scope="module")
async def shell(request: pytest.FixtureRequest) -> AsyncIterator[Shell]:
    """A shell of each kind; the one over SSH is connected."""
    if request.param == "local":
        yield LocalShell()
        return
    sshd: Sshd = request.getfixturevalue("sshd")
    over_ssh = SshShell(sshd.target())
    await over_ssh.run("true", timeout_s=10)
    yield over_ssh
    await over_ssh.close()


async def started(mark: Path) -> int:
    """Wait until a script that runs `LONG` has read its input, and return its process id."""
    read = mark.with_name(f"{mark.name}.read")
    async with asyncio.timeout(10):
        while not (read.exists() and read.read_bytes()):  # noqa: ASYNC110 - a file tells of itself only when asked
            await asyncio.sleep(0.005)
    return int(mark.read_text())  # noqa: ASYNC240 - a few bytes


async def test_a_script_gets_its_arguments_as_they_are_and_its_input(shell: Shell) -> None:
    result = await shell.run('cat; printf "<%s>" "$@"', args=ODD, stdin=b"in \0\xff ", timeout_s=10)
    assert result.stdout == b"in \0\xff " + "".join(f"<{value}>" for value in ODD).encode()


async def test_outputs_stay_apart_and_whole(shell: Shell) -> None:
    result = await shell.run("head -c 300000 /dev/zero; head -c 200000 /dev/zero >&2", timeout_s=20)
    assert (result.stdout, result.stderr) == (bytes(300_000), bytes(200_000))


async def test_much_input_comes_back(shell: Shell) -> None:
    text = os.urandom(3 * 2**20)
    assert (await shell.run("cat", stdin=text, timeout_s=20)).stdout == text


async def test_a_script_works_as_root_with_the_tools_of_an_administrator(shell: Shell) -> None:
    assert (await shell.run('id -u; type -P ip nft > /dev/null; echo "$#-$0"', timeout_s=10)).text == "0\n0-carina\n"


@pytest.mark.parametrize("lines", [False, True])
async def test_no_file_stays_open_in_this_process(shell: Shell, tmp_path: Path, *, lines: bool) -> None:
    file = tmp_path / "in"
    file.write_bytes(b"one\ntwo\nthree")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count is all that is asked for
    heard: list[str] = []
    result = await shell.run("cat", stdin=file, timeout_s=10, on_line=heard.append if lines else None)
    assert result.stdout == b"one\ntwo\nthree"
    assert heard == (["one", "two", "three"] if lines else [])
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


async def test_lines_are_told_as_they_come(shell: Shell, tmp_path: Path) -> None:
    go = tmp_path / "go"

    def hear(line: str) -> None:
        assert line == "first"
        go.touch()

    await shell.run("echo first; until [[ -e $1 ]]; do sleep 0.02; done", args=(str(go),), timeout_s=10, on_line=hear)


async def test_a_listener_that_fails_ends_the_script(shell: Shell, tmp_path: Path) -> None:
    def hear(line: str) -> None:
        raise LookupError(line)

    mark = tmp_path / "mark"
    with pytest.raises(LookupError, match="first"):
        await shell.run('echo $$ > "$1"; echo first; sleep 600', args=(str(mark),), timeout_s=60, on_line=hear)
    assert not group_runs(int(mark.read_text()))


async def test_a_script_need_not_read_its_file(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "in"
    with file.open("wb") as content:
        content.truncate(64 * 2**20)
    heard: list[str] = []
    for on_line in (None, heard.append):
        assert (await shell.run("echo done", stdin=file, timeout_s=10, on_line=on_line)).text == "done\n"
    assert heard == ["done"]


async def test_a_file_that_is_not_there_is_told_before_anything_runs(shell: Shell, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await shell.run('touch "$1"', args=(str(tmp_path / "mark"),), stdin=tmp_path / "none", timeout_s=10)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("size", [7, 64 * 2**20])
@pytest.mark.parametrize("lines", [False, True])
async def test_a_script_whose_caller_is_cut_has_ended_with_all_that_it_ran(
    shell: Shell, tmp_path: Path, size: int, *, lines: bool
) -> None:
    file, mark = tmp_path / "in", tmp_path / "mark"
    with file.open("wb") as content:
        content.truncate(size)
    on_line = [].append if lines else None
    run = asyncio.create_task(shell.run(LONG, args=(str(mark),), stdin=file, timeout_s=60, on_line=on_line))
    pid = await started(mark)
    assert group_runs(pid)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert not group_runs(pid)


async def test_a_script_whose_caller_is_cut_at_once_has_ended_too(shell: Shell, tmp_path: Path) -> None:
    marks = [tmp_path / f"mark{number}" for number in range(8)]
    for number, mark in enumerate(marks):
        run = asyncio.create_task(shell.run('echo $$ > "$1"; sleep 600', args=(str(mark),), timeout_s=60))
        await asyncio.sleep(number * 0.003)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
    pids = [int(mark.read_text()) for mark in marks if mark.exists() and mark.read_text()]
    assert not [pid for pid in pids if group_runs(pid)]


async def test_a_script_that_does_not_heed_ends_all_the_same(shell: Shell, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(ScriptTimedOut):
        await shell.run('trap "" TERM; echo $$ > "$1"; while :; do sleep 600; done', args=(str(mark),), timeout_s=2)
    assert not group_runs(int(mark.read_text()))


async def test_a_script_that_takes_too_long_has_ended_when_that_is_told(shell: Shell, tmp_path: Path) -> None:
    file, mark = tmp_path / "in", tmp_path / "mark"
    file.write_bytes(b"content")
    with pytest.raises(ScriptTimedOut, match=r"Waiting: it did not end in 2 s"):
        await shell.run(LONG, args=(str(mark),), stdin=file, timeout_s=2, what="Waiting")
    assert not group_runs(int(mark.read_text()))


@pytest.mark.parametrize("cut", [False, True])
async def test_what_a_script_detached_outlives_it(shell: Shell, tmp_path: Path, *, cut: bool) -> None:
    mark = tmp_path / "mark"
    script = (
        'setsid bash -c "echo \\$\\$ > $1; exec sleep 600" < /dev/null &> /dev/null & until [[ -s $1 ]]; do :; done'
    )
    if cut:
        with pytest.raises(ScriptTimedOut):
            await shell.run(f"{script}; sleep 600", args=(str(mark),), timeout_s=2)
    else:
        await shell.run(script, args=(str(mark),), timeout_s=10)
        await asyncio.sleep(1.5)  # longer than a watch over the script looks away
    pid = int(mark.read_text())
    assert group_runs(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


async def test_a_failure_says_what_failed_and_the_end_of_what_was_said(shell: Shell) -> None:
    with pytest.raises(ScriptFailed, match=r"Trying: exit status 7: why") as failed:
        await shell.run("echo out; echo why >&2; exit 7", timeout_s=10, what="Trying")
    assert (failed.value.exit_status, failed.value.stdout) == (7, b"out\n")


@pytest.mark.parametrize(("end", "status"), [("kill -KILL $$", -9), ("kill -TERM $$", -15), ("exit 143", 143)])
async def test_a_signal_is_told_from_an_exit_status(shell: Shell, end: str, status: int) -> None:
    with pytest.raises(ScriptFailed) as failed:
        await shell.run(end, timeout_s=10)
    assert failed.value.exit_status == status
