"""A script that is cut while it starts."""

import asyncio
import time
from pathlib import Path

import pytest

from drivers.process_groups import group_runs
from drivers.shell import LocalShell

AHEAD_S = 0.03
"""So much further is a script at each step of this side: pipes are opened one by one, in turns of the event loop."""


@pytest.mark.parametrize("steps", range(8))
async def test_a_script_cut_at_any_step_of_its_start_has_ended(tmp_path: Path, steps: int) -> None:
    mark = tmp_path / "mark"
    run = asyncio.create_task(LocalShell().run('echo $$ > "$1"; sleep 600 & wait', args=(str(mark),), timeout_s=60))
    for _ in range(steps):
        await asyncio.sleep(0)
        time.sleep(AHEAD_S)  # noqa: ASYNC251 - on purpose: this side does not go on meanwhile
    run.cancel()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await run
    if mark.exists() and mark.read_text():
        assert not group_runs(int(mark.read_text()))
