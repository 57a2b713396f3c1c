"""Scripts on this machine: what they are given, what they say, and that they end when nobody waits for them."""

import asyncio
import os
from pathlib import Path

import pytest

from drivers.shell import LocalShell, ScriptFailed, ScriptTimedOut, tail

SHELL = LocalShell()
LONG = 'echo $$ > "$1"; head -c 3 > "$1.read"; sleep 600 & wait'


async def started(mark: Path) -> int:
    """Wait until a script that runs `LONG` has read its input, and return its process id."""
    read = mark.with_name(f"{mark.name}.read")
    async with asyncio.timeout(10):
        while not (read.exists() and read.read_bytes()):  # noqa: ASYNC110 - a file tells of itself only when asked
            await asyncio.sleep(0.005)
    return int(mark.read_text())  # noqa: ASYNC240 - a few bytes


def group_lives(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_script_gets_its_arguments_and_bytes() -> None:
    result = await SHELL.run('cat; echo "$1-$2"', args=("a b", "$c"), stdin=b"in ", timeout_s=10)
    assert result.text == "in a b-$c\n"


async def test_a_script_gets_a_file_itself_without_a_copy(tmp_path: Path) -> None:
    file = tmp_path / "in"
    file.write_bytes(b"content")
    result = await SHELL.run("readlink /proc/$$/fd/0; cat", stdin=file, timeout_s=10)
    assert result.text == f"{file}\ncontent"


@pytest.mark.parametrize("lines", [False, True])
async def test_no_file_stays_open_in_this_process(tmp_path: Path, *, lines: bool) -> None:
    file = tmp_path / "in"
    file.write_bytes(b"one\ntwo\n")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count is all that is asked for
    heard: list[str] = []
    result = await SHELL.run("cat", stdin=file, timeout_s=10, on_line=heard.append if lines else None)
    assert result.stdout == b"one\ntwo\n"
    assert heard == (["one", "two"] if lines else [])
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


async def test_a_script_need_not_read_its_file(tmp_path: Path) -> None:
    file = tmp_path / "in"
    with file.open("wb") as content:
        content.truncate(64 * 2**20)
    heard: list[str] = []
    for on_line in (None, heard.append):
        assert (await SHELL.run("echo done", stdin=file, timeout_s=10, on_line=on_line)).text == "done\n"
    assert heard == ["done"]


async def test_a_file_that_is_not_there_is_told_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await SHELL.run('touch "$1"', args=(str(tmp_path / "mark"),), stdin=tmp_path / "none", timeout_s=10)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("lines", [False, True])
async def test_a_script_whose_caller_is_cut_has_ended_with_all_that_it_ran(tmp_path: Path, *, lines: bool) -> None:
    file, mark = tmp_path / "in", tmp_path / "mark"
    file.write_bytes(b"content")
    on_line = [].append if lines else None
    run = asyncio.create_task(SHELL.run(LONG, args=(str(mark),), stdin=file, timeout_s=60, on_line=on_line))
    pid = await started(mark)
    assert group_lives(pid)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert not group_lives(pid)


async def test_a_script_that_takes_too_long_has_ended_when_that_is_told(tmp_path: Path) -> None:
    file, mark = tmp_path / "in", tmp_path / "mark"
    file.write_bytes(b"content")
    with pytest.raises(ScriptTimedOut, match=r"Waiting: it did not end in 0\.5 s"):
        await SHELL.run(LONG, args=(str(mark),), stdin=file, timeout_s=0.5, what="Waiting")
    assert not group_lives(int(mark.read_text()))


async def test_a_failure_says_what_failed_and_the_end_of_what_was_said() -> None:
    with pytest.raises(ScriptFailed, match=r"Trying: exit status 7: why") as failed:
        await SHELL.run("echo out; echo why >&2; exit 7", timeout_s=10, what="Trying")
    assert (failed.value.exit_status, failed.value.stdout) == (7, b"out\n")
    with pytest.raises(ScriptFailed, match="ended by SIGKILL"):
        await SHELL.run("kill -KILL $$", timeout_s=10)


def test_long_output_is_cut_at_the_front() -> None:
    assert tail(b"abcdef\n", 3) == "...def"
    assert tail(b"abc\n", 3) == "abc"
