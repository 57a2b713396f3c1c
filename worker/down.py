"""Taking the service, and what it has on this machine, down again."""

import asyncio
import os
import re
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import typer

from domain.errors import HostInUse, Unavailable
from domain.hosts import Host
from worker.home import Home
from worker.ports import release_ports
from worker.settings import Settings

_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.05


async def take_down(settings: Settings, *, purge: bool, force: bool) -> None:
    """Stop the service, then its nodes here, and remove what the instance has on this machine.

    What clusters are stays in the home: the next `carinad up` brings them back. With `purge` the home goes too.
    Other hosts are left alone: their nodes go on running. As a purge forgets them, with the keys to their clusters, it
    raises `HostInUse` while there are any, unless `force`; what is on them can then only be removed by hand. What
    others have in the home stays: a control plane elsewhere, whose host this machine is, or an operator's mounts.
    """
    if not (settings.home / "instance.json").exists():
        typer.echo(f"Nothing to do: {settings.home} is no home of Carina.")
        return
    home = Home(settings.home)
    try:
        others = await asyncio.to_thread(_other_hosts, settings, home)
    except Unavailable as error:
        if purge and not force:
            raise
        typer.echo(f"{error.detail} They are left alone.")
        others = []
    if purge and others and not force:
        raise HostInUse(
            f"Carina has other hosts than this machine, which it would forget: {_named(others)}.",
            remedy="Remove them first ('carina host remove NAME'), or leave what is on them there: --purge --force.",
        )
    await asyncio.to_thread(_stop_service, home)
    await _clear_host(settings, home, purge=purge)
    if purge:
        release_ports(home.identity().prefix)
        kept = await asyncio.to_thread(_remove_home, home)
        typer.echo(f"Removed {settings.home}." if not kept else f"Left {_paths(kept)}, which Carina here did not make.")
    if others:
        lost = "; what is on them is nobody's now" if purge else ""
        typer.echo(f"Left other hosts alone: nodes on {_named(others)} go on running{lost}.")


def _other_hosts(settings: Settings, home: Home) -> Sequence[Host]:
    """Return the recorded hosts that are not this machine. Raises `Unavailable` if the database can't be asked."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - the store takes a while to import

    from store.engine import make_engine  # noqa: PLC0415
    from store.migrate import upgrade  # noqa: PLC0415
    from store.records import StoreRecords  # noqa: PLC0415

    if not settings.database_url and not home.database.exists():
        return []
    engine = make_engine(settings.database)
    try:
        if not settings.database_url:
            upgrade(engine)  # it may be of an earlier version, or of a start that was cut
        hosts = StoreRecords(engine, home.identity().instance).hosts()
    except SQLAlchemyError as error:
        raise Unavailable(
            f"The database can't be asked for other hosts: {error}", remedy="Correct CARINA_DATABASE_URL."
        ) from error
    finally:
        engine.dispose()
    return [host for host in hosts if not host.local]


def _remove_home(home: Home) -> Sequence[Path]:
    """Remove the home, and return what stays: it is mounted, or what another control plane keeps here as on a host."""
    kept = []
    for path in home.path.iterdir():
        if not path.is_dir() or path.is_symlink():
            path.unlink()
        elif _is_mounted(path) or (path != home.host_root and _is_host_root(path)):
            kept.append(path)
        else:
            shutil.rmtree(path)
    if not kept:
        home.path.rmdir()
    return sorted(kept)


def _is_mounted(path: Path) -> bool:
    """Whether something is mounted there or below. proc(5) says how such paths are written."""
    real = path.resolve()
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = (re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line.split()[4]) for line in lines)
    return any(Path(point).is_relative_to(real) for point in points)


def _is_host_root(path: Path) -> bool:
    return any((path / name).exists() for name in ("pool", "pool.img", "state"))


def _paths(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths)


def _named(hosts: Sequence[Host]) -> str:
    return ", ".join(f"{host.name} ({host.address})" for host in hosts)


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
    from drivers.shell import shell_of  # noqa: PLC0415 - drivers take a while to import
    from worker.logs import configure_logs  # noqa: PLC0415
    from worker.wiring import host_drivers  # noqa: PLC0415

    configure_logs("warning")
    host = Host(id="", name="local", address="local", root=str(home.host_root))
    nodes, _, hosts, _ = host_drivers(settings, home.identity().instance, shell_of)
    await nodes.stop_all(host)
    await hosts.release(host, purge=purge)
    typer.echo("Stopped the nodes; took bridges, rules and mounts off this machine.")
