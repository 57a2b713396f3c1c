"""The real service, with faults: started by tests in place of `carinad`, never by anyone else.

    python faulty_service.py up|worker|temporal

runs what `carinad up` or `carinad worker` run, or the embedded Temporal server alone; what goes wrong, and when, stands
in the directory named by CARINA_E2E_FAULTS. See `Faults`. Whenever it ends, or is killed, it is started again at once,
by a fork of a process that has done all its imports: on a busy machine they take most of a restart's time.
"""

import asyncio
import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from store.outbox import Outbox
from worker.embedded import connect, embedded_temporal, run_all, serve
from worker.logs import configure_logs
from worker.settings import Settings
from worker.wiring import open_service

_POLL_S = 0.02
_PR_SET_PDEATHSIG = 1  # prctl(2)
SELF, TEMPORAL = "self", "temporal"
BEFORE, DURING, AFTER = "before", "during", "after"
DURING_S = {
    "ensure_node": 0.2,
    "form_cluster": 0.005,
    "join_node": 0.005,
    "load_image": 0.05,
    "verify_overlay": 0.3,
    "remove_node": 0.1,
}
"""Steps in whose midst their worker is killed too, and how long after their beginning."""


class Faults:
    """What goes wrong. Files in the directory say it:

    - `kill`: at each boundary of each step of a cluster's operation, once, a process is killed: this one (`self`), or
      the Temporal server (`temporal`), once it is back from the kill before. A step's midst is no boundary to Temporal:
      the step goes on without it. Boundaries that were hit stand in `hit/<workflow>.<step>.<boundary>`.
    - `hold`: while it is there, steps of clusters' operations wait before they begin, and nothing is killed.
    - `fail-<step>`: the step fails for good.

    Each start of the process adds its pid to `starts-<part>`.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._hit = directory / "hit"
        self._hit.mkdir(exist_ok=True)

    async def reach(self, boundary: str) -> None:
        """Kill what is to be killed, if this is the first time that the boundary is reached."""
        victim = self._victim()
        if not victim or (victim == TEMPORAL and boundary == DURING):
            return
        info = activity.info()
        try:
            (self._hit / f"{info.workflow_type}.{info.activity_type}.{boundary}").open("x").close()
        except FileExistsError:
            return
        for pid in [os.getpid()] if victim == SELF else await self._temporal():
            with suppress(ProcessLookupError):  # it has ended
                os.kill(pid, signal.SIGKILL)

    async def _temporal(self) -> list[int]:
        while not (pids := temporal_children()):  # noqa: ASYNC110 - processes that others start
            await asyncio.sleep(_POLL_S)
        return pids

    async def held(self) -> None:
        """Wait until steps may begin: whoever asks for several changes gets all answers before the first kill."""
        if not str(activity.info().workflow_id).startswith("cluster-"):
            return
        while (self._directory / "hold").exists():  # noqa: ASYNC110 - another process makes the file
            await asyncio.sleep(_POLL_S)

    def fail(self) -> None:
        """Fail the step, if it is to fail."""
        step = activity.info().activity_type
        if (self._directory / f"fail-{step}").exists():
            raise ApplicationError(f"{step} was told to fail", non_retryable=True)

    def _victim(self) -> str:
        if not str(activity.info().workflow_id).startswith("cluster-"):
            return ""
        file = self._directory / "kill"
        return file.read_text().strip() if file.exists() else ""


class FaultyInterceptor(Interceptor):
    """Stands outside all others: before a step has written anything, and after it has written all."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Faulty(next, self._faults)


class _Faulty(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, faults: Faults) -> None:
        super().__init__(inner)
        self._faults = faults

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        await self._faults.held()
        await self._faults.reach(BEFORE)
        self._faults.fail()
        delay_s = DURING_S.get(activity.info().activity_type)
        midst = asyncio.create_task(self._later(delay_s)) if delay_s else None
        try:
            result = await super().execute_activity(input)
        finally:
            if midst is not None:
                midst.cancel()
        await self._faults.reach(AFTER)
        return result

    async def _later(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await self._faults.reach(DURING)


def temporal_children() -> list[int]:
    """Processes that this one started and that are Temporal's server."""
    found = []
    for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            if Path(f"/proc/{pid}/comm").read_text().strip() == "temporal":
                found.append(int(pid))
    return found


async def run_worker(settings: Settings, interceptor: Interceptor) -> None:
    """Run the worker alone, as `carinad worker` does."""
    service = await asyncio.to_thread(open_service, settings)
    client = await connect(settings, settings.temporal_address)
    host_id = await asyncio.to_thread(service.add_this_host)
    await asyncio.to_thread(Outbox(service.engine).accept_prepare_host, host_id)
    await serve(service, client, api=False, worker=True, interceptors=[interceptor])


async def run_temporal(settings: Settings) -> None:
    """Run the embedded Temporal server, and nothing else, until killed. Its port stands in the instance's identity."""
    service = open_service(settings)
    server = embedded_temporal(service)
    assert server is not None
    await server.start()
    await asyncio.Event().wait()


def run_part(part: str, settings: Settings, faults: Faults) -> None:
    interceptor = FaultyInterceptor(faults)
    if part == "temporal":
        asyncio.run(run_temporal(settings))
    elif part == "worker":
        asyncio.run(run_worker(settings, interceptor))
    else:
        asyncio.run(run_all(settings, interceptors=[interceptor]))


def main() -> None:
    part, settings, directory = sys.argv[1], Settings(), Path(os.environ["CARINA_E2E_FAULTS"])
    configure_logs(settings.log_level)
    while True:
        pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            with (directory / f"starts-{part}").open("a") as starts:
                starts.write(f"{os.getpid()}\n")
            run_part(part, settings, Faults(directory))
            os._exit(0)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
