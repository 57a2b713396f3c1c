"""The `carinad` command, for operators: runs the service and looks after the machine that it runs on."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.errors import CarinaError
from worker.home import Home
from worker.release_command import release
from worker.settings import Settings

app = typer.Typer(
    name="carinad",
    help="Runs Carina: the service, its parts, and the checks of the machine it runs on.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(release, name="release", help="Add, list, check and remove the releases that clusters are made of.")

HomeOption = Annotated[Path | None, typer.Option("--home", help="The instance's home (CARINA_HOME).")]
ListenOption = Annotated[str | None, typer.Option("--listen", help="Address and port of the API (CARINA_LISTEN).")]


def _settings(**given: Any) -> Settings:
    return Settings(**{name: value for name, value in given.items() if value is not None})


@app.command()
def up(
    home: HomeOption = None,
    listen: ListenOption = None,
    background: Annotated[
        bool, typer.Option("--background", help="Start in the background, return when the API answers.")
    ] = False,
) -> None:
    """Run the whole service: Temporal, API and worker; prepare this machine as a host and bring its nodes back."""
    from worker.background import start_in_background  # noqa: PLC0415 - the service's imports take a second
    from worker.embedded import run_all  # noqa: PLC0415
    from worker.logs import configure_logs  # noqa: PLC0415

    settings = _settings(home=home, listen=listen)
    if background:
        start_in_background(settings)
        return
    configure_logs(settings.log_level)
    asyncio.run(run_all(settings))


@app.command()
def api(home: HomeOption = None, listen: ListenOption = None) -> None:
    """Run the API alone, with a Temporal server that runs elsewhere (CARINA_TEMPORAL_ADDRESS)."""
    from worker.parts import run_part  # noqa: PLC0415

    asyncio.run(run_part(_settings(home=home, listen=listen), api=True))


@app.command()
def worker(home: HomeOption = None) -> None:
    """Run the worker alone, with a Temporal server that runs elsewhere (CARINA_TEMPORAL_ADDRESS)."""
    from worker.parts import run_part  # noqa: PLC0415

    asyncio.run(run_part(_settings(home=home), worker=True))


@app.command()
def down(
    home: HomeOption = None,
    purge: Annotated[bool, typer.Option("--purge", help="Remove the instance's data too.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Purge even if other hosts are forgotten by that.")] = False,
) -> None:
    """Stop the service and its nodes, and take its bridges, rules and mounts off this machine.

    Other hosts are left alone: their nodes go on running.
    """
    from worker.down import take_down  # noqa: PLC0415

    asyncio.run(take_down(_settings(home=home), purge=purge, force=force))


@app.command(name="ssh-key")
def ssh_key(home: HomeOption = None) -> None:
    """Print the public key with which the service logs in to hosts, for their authorized_keys."""
    from drivers.ssh_identity import ensure_identity, public_path  # noqa: PLC0415
    from worker.reach import own_identity  # noqa: PLC0415

    path = ensure_identity(own_identity(Home(_settings(home=home).home).path), comment="carina")
    typer.echo(public_path(path).read_text().strip())


@app.command()
def doctor(
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Say whether this machine can be a host, what is missing, and what mends it."""
    from worker.doctor import examine, print_report  # noqa: PLC0415

    report = asyncio.run(examine(_settings(home=home)))
    if as_json:
        typer.echo(json.dumps(report.as_dict(), indent=2))
    else:
        print_report(report)
    raise typer.Exit(0 if report.fit else 1)


@app.command()
def migrate(home: HomeOption = None) -> None:
    """Bring the database's tables up to date, and end."""
    from worker.wiring import open_service  # noqa: PLC0415

    open_service(_settings(home=home))


def main() -> None:
    """Run the command; an error that Carina foresees is told in words, not as a traceback."""
    os.umask(0o022)  # under a stricter one, nodes' users could not pass through the home to their nodes
    try:
        app()
    except CarinaError as error:
        print(f"carinad: {error.title}: {error.detail}\n{error.remedy}", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from error
    except PermissionError as error:
        print(f"carinad: {error}\nRun it as root.", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        raise SystemExit(128 + 2) from None


if __name__ == "__main__":
    main()
