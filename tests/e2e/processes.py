"""Processes of the service under a supervisor: one that ends, or is killed, is started again at once."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from installation import BIN, Installation, until

FAULTY = (sys.executable, str(Path(__file__).with_name("faulty_service.py")))
START_TIMEOUT_S = 60.0


class Processes:
    """Named processes of one installation."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._commands: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.log_dir = installation.directory / "log"
        self.log_dir.mkdir(exist_ok=True)

    def start(self, name: str, *command: str, **settings: str) -> None:
        self._commands[name] = (command, settings)
        self._spawn(name)

    def keep(self) -> None:
        """Start again what has ended."""
        for name, process in self._running.items():
            if process.poll() is not None:
                self._spawn(name)

    def kill(self, *names: str) -> None:
        """SIGKILL processes, all if none is named; they are not started again before the next `keep`."""
        for name in names or tuple(self._running):
            self._running[name].kill()
        for name in names or tuple(self._running):
            self._running[name].wait()

    def starts(self, part: str) -> int:
        """How often a part with faults was started."""
        return len((self._installation.faults / f"starts-{part}").read_text().splitlines())

    def logs(self) -> str:
        """The end of each process's log, for a failed test."""
        files = sorted(self.log_dir.iterdir())
        return "\n".join(f"== {file.name}\n{file.read_text(errors='replace')[-3000:]}" for file in files)

    def tracebacks(self) -> str:
        """What logs say after the word Traceback."""
        texts = (file.read_text(errors="replace") for file in self.log_dir.iterdir())
        return "\n".join(part[:6000] for text in texts for part in text.split("Traceback ")[1:])

    def _spawn(self, name: str) -> None:
        command, settings = self._commands[name]
        with (self.log_dir / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(  # none of them outlives the test run
                ("setpriv", "--pdeathsig", "KILL", *command),
                env={**self._installation.environment, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )


@contextmanager
def processes_of(installation: Installation) -> Iterator[Processes]:
    processes = Processes(installation)
    try:
        yield processes
    finally:
        processes.kill()


async def start_whole(installation: Installation, processes: Processes) -> None:
    """Start the all-in-one service, with faults, and return when it is ready."""
    processes.start("service", *FAULTY, "up", CARINA_E2E_FAULTS=str(installation.faults))
    await installation.ready(processes.keep)


async def start_parts(installation: Installation, processes: Processes) -> None:
    """Start Temporal, API and worker apart, the worker with faults; return when they are ready."""
    faults = str(installation.faults)
    processes.start("temporal", *FAULTY, "temporal", CARINA_E2E_FAULTS=faults)
    identity = installation.home / "instance.json"
    await until((installation.home / "temporal.db").exists, START_TIMEOUT_S, "Temporal starts")
    address = f"127.0.0.1:{json.loads(identity.read_text())['temporal_port']}"
    processes.start("api", str(BIN / "carinad"), "api", CARINA_TEMPORAL_ADDRESS=address)
    processes.start("worker", *FAULTY, "worker", CARINA_TEMPORAL_ADDRESS=address, CARINA_E2E_FAULTS=faults)
    await installation.ready(processes.keep)
