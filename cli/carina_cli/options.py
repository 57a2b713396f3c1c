"""The options and arguments that commands share, and what they lead to: a connection, completions."""

from typing import TYPE_CHECKING, Annotated

import typer

from carina_cli.config import DEFAULT_ENDPOINT, check_endpoint
from carina_cli.errors import CliError
from carina_cli.output import Format

if TYPE_CHECKING:
    from carina_cli.client import Client

DEFAULT_TIMEOUT_S = 600.0


def connect(endpoint: str) -> "Client":
    """Return a client of the service at `endpoint`."""
    checked = check_endpoint(endpoint)
    from carina_cli.client import Client  # noqa: PLC0415 - httpx takes 100 ms, which --help and mistakes need not wait for

    return Client(checked)


def complete_cluster(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of clusters that begin so. A shell's completion has no place for errors: then there are none."""
    try:
        with connect(ctx.params.get("endpoint") or DEFAULT_ENDPOINT) as client:
            names = [cluster["name"] for cluster in client.clusters()]
    except CliError:
        return []
    return [name for name in names if name.lower().startswith(incomplete.lower())]


def complete_host(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of hosts that begin so; none where the service can't be asked, or tells only administrators."""
    try:
        with connect(ctx.params.get("endpoint") or DEFAULT_ENDPOINT) as client:
            names = [host["name"] for host in client.hosts.all()]
    except CliError:
        return []
    return [name for name in names if name.lower().startswith(incomplete.lower())]


ClusterArgument = Annotated[
    str, typer.Argument(metavar="CLUSTER", help="The cluster's name or id.", autocompletion=complete_cluster)
]
HostArgument = Annotated[
    str, typer.Argument(metavar="HOST", help="The host's name or id.", autocompletion=complete_host)
]
EndpointOption = Annotated[
    str, typer.Option("--endpoint", metavar="URL", envvar="CARINA_ENDPOINT", help="Where the service is.")
]
OutputOption = Annotated[
    Format, typer.Option("--output", "-o", help="A table for people, or the API's JSON for programs.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
WaitOption = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait until it is done, showing the steps, or return at once.")
]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long to wait at most; the change goes on.")
]
