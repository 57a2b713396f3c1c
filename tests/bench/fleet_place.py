"""Where the fleet's control plane runs: a home of its own, and Temporal, API, worker and database as processes.

All of it goes at the end; what a killed run left behind (its lock is free) goes at the start of the next one.
"""

import asyncio
import fcntl
import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench import memory
from tests.e2e.installation import BIN, TMP, Installation, free_port, new_directory, until
from worker.ports import release_ports

NAME = "carina-fleet-"
ROOT = Path(__file__).parents[2]
SQLITE, POSTGRESQL = "sqlite", "postgresql"
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 10.0
_DATABASE_ROLE = "carina"


class FleetPlace:
    """A control plane that runs. `roots` are its processes, by the names that people know them by."""

    def __init__(self, directory: Path, database: str) -> None:
        self.database = database
        self.roots: dict[str, int] = {}
        self._postgres = directory / "postgres"
        self._running: list[subprocess.Popen[bytes]] = []
        port = free_port()
        url = f"postgresql://{_DATABASE_ROLE}@127.0.0.1:{port}/postgres" if database == POSTGRESQL else ""
        self._database_port = port
        self.installation = Installation(
            directory, CARINA_DATABASE_URL=url, CARINA_LOG_LEVEL="warning", PYTHONPATH=str(ROOT)
        )

    async def start(self) -> None:
        """Start everything, and return when it is ready."""
        if self.database == POSTGRESQL:
            ask = self._start_postgres()
            await until(lambda: subprocess.run(ask, check=False).returncode == 0, _START_TIMEOUT_S, "PostgreSQL serves")
        part = (sys.executable, "-m", "tests.bench.fleet_service")
        self._spawn("Temporal's parent", *part, "temporal")
        home = self.installation.home
        await until((home / "temporal.made").exists, _START_TIMEOUT_S, "Temporal's server serves")
        port = json.loads((home / "instance.json").read_text())["temporal_port"]
        [temporal] = [pid for pid in memory.pids() if {"start-dev", f"--port={port}"} <= set(memory.arguments(pid))]
        address = f"127.0.0.1:{port}"
        worker = self._spawn("worker", *part, "worker", CARINA_TEMPORAL_ADDRESS=address)
        api = self._spawn("api", str(BIN / "carinad"), "api", CARINA_TEMPORAL_ADDRESS=address)
        self.roots |= {"API": api, "worker": worker, "Temporal": temporal}
        await self.installation.ready()

    def sizes(self) -> dict[str, float]:
        """Return the sizes of the databases on disk, in MiB, what is still in their logs included."""
        home = self.installation.home
        ours = [*home.glob("carina.db*")]
        if self.database == POSTGRESQL:
            ours = [*(self._postgres / "base").rglob("*"), *(self._postgres / "pg_wal").rglob("*")]
        return {"Carina's": _mebibytes(ours), "Temporal's": _mebibytes([*home.glob("temporal.db*")])}

    def logs(self) -> str:
        """Return the ends of the processes' logs."""
        files = sorted(self.installation.directory.glob("*.log"))
        return "\n".join(f"== {file.name}\n{file.read_text(errors='replace')[-2000:]}" for file in files)

    def close(self) -> None:
        """End all processes, in the opposite order of their start, and remove what they kept."""
        for process in reversed(self._running):
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        _remove(self.installation.directory)

    def _start_postgres(self) -> Sequence[str]:
        """Run a PostgreSQL server with its defaults, which keep what was committed.

        Returns the command that asks it whether it serves.
        """
        [*_, tools] = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        self._postgres.mkdir(mode=0o700)
        nobody = pwd.getpwnam("nobody")  # the server refuses to be root
        os.chown(self._postgres, nobody.pw_uid, nobody.pw_gid)
        become = ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
        made = (f"{tools}/initdb", "-D", str(self._postgres), "-U", _DATABASE_ROLE, "-A", "trust", "-E", "UTF8")
        subprocess.run((*become, *made), check=True, stdout=subprocess.DEVNULL, cwd="/")
        listen = ("-c", "listen_addresses=127.0.0.1", "-c", f"port={self._database_port}")
        serve = (f"{tools}/postgres", "-D", str(self._postgres), *listen, "-c", "unix_socket_directories=")
        self.roots["PostgreSQL"] = self._spawn("postgres", *become, "--pdeathsig=KILL", *serve)
        return (f"{tools}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self._database_port))

    def _spawn(self, name: str, *command: str, **settings: str) -> int:
        with (self.installation.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                ("setpriv", "--pdeathsig", "KILL", *command),
                env={**self.installation.environment, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        self._running.append(process)
        return process.pid


@asynccontextmanager
async def fleet_place(database: str) -> AsyncIterator[FleetPlace]:
    """A control plane that runs, without hosts; it is taken away at the end."""
    sweep_killed_runs()
    directory = new_directory(NAME)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        place = FleetPlace(directory, database)
        try:
            await place.start()
            yield place
        except Exception as error:
            error.add_note(place.logs())
            raise
        finally:
            await asyncio.to_thread(place.close)


def sweep_killed_runs() -> None:
    """Remove what runs left that ended without doing so; their processes ended with them."""
    for directory in TMP.glob(f"{NAME}*"):
        with (directory / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            _remove(directory)


def _remove(directory: Path) -> None:
    release_ports(f"e{directory.name[-3:]}")
    shutil.rmtree(directory)


def _mebibytes(files: list[Path]) -> float:
    return sum(file.stat().st_size for file in files if file.is_file()) / 2**20
