"""The service in the background: started, awaited, and taken down again."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import typer

from domain.errors import Unavailable
from domain.hosts import Host
from worker.home import Home
from worker.settings import Settings

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.05


def start_in_background(settings: Settings) -> None:
    """Start `carinad up` as a process of its own, and return when its API answers.

    One that runs already is left as it is. Raises `Unavailable` if the service ends, or does not answer in time.
    """
    home = Home(settings.home)
    log_file = home.log_dir / "carinad.log"
    if home.running_pid() is None:
        with log_file.open("ab") as sink:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "worker.carinad",
                    "up",
                    f"--home={settings.home}",
                    f"--listen={settings.listen}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                cwd="/",
            )
        _await_api(settings, process, log_file)
    identity = home.identity()
    typer.echo(f"API           http://{settings.listen}")
    typer.echo(f"Documentation http://{settings.listen}/docs")
    typer.echo(f"Temporal UI   http://127.0.0.1:{identity.temporal_ui_port}")
    typer.echo(f"Log           {log_file}")


def _await_api(settings: Settings, process: subprocess.Popen[bytes], log_file: Path) -> None:
    import http.client  # noqa: PLC0415 - only needed here

    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            last = log_file.read_text(errors="replace").splitlines()[-5:]
            raise Unavailable("The service ended at once. It said:\n" + "\n".join(last), remedy=f"Read {log_file}.")
        connection = http.client.HTTPConnection(settings.listen_host, settings.listen_port, timeout=1)
        try:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            time.sleep(_POLL_S)  # bounded: a tight poll of a socket that is about to open
        finally:
            connection.close()
    raise Unavailable(f"The API does not answer on {settings.listen}.", remedy=f"Read {log_file}.")


async def take_down(settings: Settings, *, purge: bool) -> None:
    """Stop the service, then its nodes, and remove what the instance has on this machine.

    What clusters are stays in the home: the next `carinad up` brings them back. With `purge` the home goes too.
    """
    if not settings.home.exists():
        typer.echo(f"Nothing to do: {settings.home} is not there.")
        return
    home = Home(settings.home)
    await asyncio.to_thread(_stop_service, home)
    await _clear_host(settings, home, purge=purge)
    if purge:
        shutil.rmtree(settings.home)
        typer.echo(f"Removed {settings.home}.")


def _stop_service(home: Home) -> None:
    pid = home.running_pid()
    if not pid:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while home.running_pid() is not None:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            deadline = time.monotonic() + _STOP_TIMEOUT_S
        time.sleep(_POLL_S)
    typer.echo("Stopped the service.")


async def _clear_host(settings: Settings, home: Home, *, purge: bool) -> None:
    from worker.wiring import host_drivers  # noqa: PLC0415 - drivers take a while to import

    host = Host(id="", name="local", address="local", root=str(home.host_root))
    nodes, fabric, hosts, _ = host_drivers(settings, home.identity().instance)
    await nodes.stop_all(host)
    await fabric.remove_all(host)
    await hosts.release(host, purge=purge)
    typer.echo("Stopped the nodes; took bridges, rules and mounts off this machine.")
