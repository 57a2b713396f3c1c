"""The carina command: puts the commands together, and turns errors into words and exit codes."""

import atexit
import gc
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from carina_cli import __version__
from carina_cli.commands import clusters, credentials, kubeconfig, operations, publications, service
from carina_cli.commands.create import create
from carina_cli.commands.host import host
from carina_cli.commands.images import images
from carina_cli.commands.overlays import overlays
from carina_cli.errors import INTERRUPTED, CliError
from carina_cli.output import complain

EXIT_CODES = (
    "Exit codes: 0 done, 1 it failed, 2 what was typed is wrong, 3 not found, 4 in conflict, busy or not ready,"
    " 5 the service can't be reached, 6 not authorised, 7 waited too long, 130 Ctrl-C."
)

# rich_markup_mode=None: help and mistakes in plain text, which spares loading rich.
app = typer.Typer(
    name="carina",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
COMMANDS: tuple[Callable[..., None], ...] = (
    create,
    clusters.ls,
    clusters.get,
    clusters.nodes,
    clusters.grow,
    clusters.resize,
    clusters.delete,
    publications.publish,
    publications.publications,
    publications.unpublish,
    credentials.credentials,
    credentials.env,
    kubeconfig.kubeconfig,
    operations.operations,
    operations.operation,
    clusters.types,
    service.status,
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(overlays, name="overlays", help="List, make and remove a cluster's overlay networks.")
app.add_typer(host, name="host", help="Add, look at and change hosts, the machines that carry nodes.")
app.add_typer(images, name="images", help="List, load and forget a cluster's own images.")


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    """Print the version and end, if asked to."""
    if wanted:
        sys.stdout.write(f"carina {__version__}\n")
        raise typer.Exit


@app.callback()
def carina(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Create, use and delete clusters of a Carina service.

    The service is at CARINA_ENDPOINT (default http://127.0.0.1:8440). Its token comes from CARINA_TOKEN, from the
    file that CARINA_TOKEN_FILE names, or from admin-token in CARINA_HOME (default /var/lib/carina).
    """


def main() -> None:
    """Run the command line; end with the exit codes of `carina_cli.errors`."""
    # The interpreter's last search for garbage, through all that was imported, would delay the exit by 20 ms.
    atexit.register(gc.freeze)
    try:
        app()
    except CliError as error:
        complain(error.lines())
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        complain(["interrupted"])
        sys.exit(INTERRUPTED)
