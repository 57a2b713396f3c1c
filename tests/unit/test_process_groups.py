"""Which process groups run: one whose processes have ended does not, though nobody asked for their status yet."""

import os
import signal
import subprocess

from drivers.process_groups import group_runs
from drivers.until import until


def test_a_group_runs_until_its_last_process_has_ended() -> None:
    with subprocess.Popen(
        ["bash", "-c", "sleep 30 & echo $!; exec sleep 30"], stdout=subprocess.PIPE, start_new_session=True
    ) as leader:
        assert leader.stdout is not None
        other = int(leader.stdout.readline())
        assert group_runs(leader.pid)
        os.kill(leader.pid, signal.SIGKILL)
        leader.wait()
        assert group_runs(leader.pid)
        os.kill(other, signal.SIGKILL)
        assert until(lambda: not group_runs(leader.pid), 5)


def test_a_process_that_ended_does_not_run_though_its_parent_has_not_asked() -> None:
    with subprocess.Popen(["sleep", "30"], start_new_session=True) as process:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        os.killpg(process.pid, 0)
        assert not group_runs(process.pid)
