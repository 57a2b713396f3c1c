"""The service in the background: started, and followed until it is ready."""

import http.client
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from domain.errors import StepFailed, Unavailable
from domain.operations import OPEN_STATES, STEP_TITLES, OperationState, StepState
from worker.home import Home
from worker.settings import Settings

if TYPE_CHECKING:
    from store.views import StepView

_START_TIMEOUT_S = 60.0
_POLL_S = 0.05


def start_in_background(settings: Settings) -> None:
    """Start `carinad up` as a process of its own, and return when this machine is ready for clusters.

    One that runs already is left as it is. Raises `Unavailable` if the service ends, or does not answer in time,
    and `StepFailed` if the machine could not be prepared.
    """
    home = Home(settings.home)
    log_file = home.log_dir / "carinad.log"
    started = time.monotonic()
    if home.running_pid() is None:
        typer.echo("Starting the service")
        _await_api(settings, _spawn(settings, log_file), log_file)
        _say("The API answers", started)
    _follow_preparation(settings, log_file)
    identity = home.identity()
    typer.echo(f"API           http://{settings.listen}")
    typer.echo(f"Documentation http://{settings.listen}/docs")
    typer.echo(f"Temporal UI   {settings.temporal_ui or f'http://127.0.0.1:{identity.temporal_ui_port}'}")
    typer.echo(f"Log           {log_file}")


def _spawn(settings: Settings, log_file: Path) -> subprocess.Popen[bytes]:
    with log_file.open("ab") as sink:
        return subprocess.Popen(
            [sys.executable, "-m", "worker.carinad", "up", "--home", settings.home, "--listen", settings.listen],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            cwd="/",
        )


def _await_api(settings: Settings, process: subprocess.Popen[bytes], log_file: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            last = log_file.read_text(errors="replace").splitlines()[-5:]
            raise Unavailable("The service ended at once. It said:\n" + "\n".join(last), remedy=f"Read {log_file}.")
        if _answers(settings):
            return
        time.sleep(_POLL_S)
    raise Unavailable(f"The API does not answer on {settings.listen}.", remedy=f"Read {log_file}.")


def _answers(settings: Settings) -> bool:
    connection = http.client.HTTPConnection(settings.listen_host, settings.listen_port, timeout=1)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def _follow_preparation(settings: Settings, log_file: Path) -> None:
    """Print each step of the machine's preparation as it ends, until all have."""
    from store.engine import make_engine  # noqa: PLC0415 - imported while the service starts, not before it does
    from store.outbox import Outbox  # noqa: PLC0415

    outbox = Outbox(make_engine(settings.database))
    told: set[tuple[str, str | None, int, StepState]] = set()
    while True:
        operation = outbox.last_prepare_host()
        for step in operation.steps if operation else ():
            _tell(step, told)
        if operation is not None and operation.state not in OPEN_STATES:
            break
        time.sleep(_POLL_S)
    if operation.state is not OperationState.SUCCEEDED:
        error = operation.error
        raise StepFailed(
            f"This machine could not be prepared. {error.detail if error else ''}",
            remedy=f"{error.remedy if error else ''} The log: {log_file}.",
        )


def _tell(step: "StepView", told: set[tuple[str, str | None, int, StepState]]) -> None:
    """Say that a step began or ended, once; quick ones are not worth two lines."""
    key = (step.name, step.node, step.attempt, step.state)
    if key in told:
        return
    told.add(key)
    title = f"{STEP_TITLES.get(step.name, step.name)}{f' {step.node}' if step.node else ''}"
    if step.state is StepState.RUNNING:
        typer.echo(f"  ...    {title}")
    elif step.ended_at is not None:
        took_s = (step.ended_at - step.started_at).total_seconds()
        detail = f": {step.error.detail}" if step.error else ""
        typer.echo(f"  {'ok' if step.error is None else step.state:<6} {title} ({took_s:.1f} s){detail}")


def _say(what: str, since: float) -> None:
    typer.echo(f"  ok     {what} ({time.monotonic() - since:.1f} s)")
