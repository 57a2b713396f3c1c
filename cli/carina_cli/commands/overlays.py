"""overlays ls, add, rm: the overlay networks of a cluster."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from carina_cli.commands.changes import say_accepted
from carina_cli.config import DEFAULT_ENDPOINT
from carina_cli.options import (
    DEFAULT_TIMEOUT_S,
    ClusterArgument,
    EndpointOption,
    OutputOption,
    TimeoutOption,
    WaitOption,
    connect,
)
from carina_cli.output import Format, print_json, print_lines, print_table, took
from carina_cli.shapes import Overlay
from carina_cli.waiting import follow

if TYPE_CHECKING:
    from carina_cli.client import Client

OverlayArgument = Annotated[str, typer.Argument(metavar="NAME", help="The overlay network's name.")]


class _ListByDefault(TyperGroup):
    """Reads `overlays CLUSTER` as `overlays ls CLUSTER`, as `nodes CLUSTER` and `operations CLUSTER` list too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the `ls` in when no command is named."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["ls", *args]
        return super().parse_args(ctx, args)


overlays = typer.Typer(cls=_ListByDefault, no_args_is_help=True, rich_markup_mode=None)


@overlays.command("ls")
def list_overlays(
    cluster: ClusterArgument, *, endpoint: EndpointOption = DEFAULT_ENDPOINT, output: OutputOption = Format.TABLE
) -> None:
    """List a cluster's overlay networks. 'carina overlays CLUSTER' does too."""
    with connect(endpoint) as client:
        found = client.overlays(client.find(cluster)["id"])
    if output is Format.JSON:
        print_json({"overlays": found, "links": []})
        return
    print_table(
        ["NAME", "SUBNET", "MTU", "STATE", "ATTACHABLE", "ENCRYPTED", "VERIFIED"],
        [
            [
                overlay["name"],
                overlay["subnet"],
                overlay["mtu"],
                overlay["state"],
                "yes" if overlay["attachable"] else "no",
                "yes" if overlay["encrypted"] else "no",
                overlay["verified_at"],
            ]
            for overlay in found
        ],
    )


@overlays.command("add")
def add_overlay(  # noqa: PLR0913 - a parameter for each option
    cluster: ClusterArgument,
    name: OverlayArgument,
    *,
    subnet: Annotated[
        str | None, typer.Option("--subnet", metavar="CIDR", help="Its addresses. Default: the service chooses.")
    ] = None,
    attachable: Annotated[
        bool, typer.Option("--attachable/--no-attachable", help="Whether plain containers may join, not services only.")
    ] = True,
    encrypted: Annotated[
        bool, typer.Option("--encrypted", help="Encrypt traffic between nodes, where the hosts can.")
    ] = False,
    wait: WaitOption = True,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    endpoint: EndpointOption = DEFAULT_ENDPOINT,
    output: OutputOption = Format.TABLE,
) -> None:
    """Make an overlay network across a cluster's nodes, and check that containers reach each other on it."""
    with connect(endpoint) as client:
        cluster_id = client.find(cluster)["id"]
        overlay, operation_id = client.add_overlay(
            cluster_id, name=name, subnet=subnet, attachable=attachable, encrypted=encrypted
        )
        if operation_id is None or not wait:
            say_accepted(output, overlay, f"Overlay network {name} is being made", operation_id)
            return
        heading = f"Making overlay network {name}"
        operation = follow(client, operation_id, heading=heading, timeout_s=timeout)
        overlay = _latest(client, cluster_id, overlay)
    if output is Format.JSON:
        print_json(overlay)
    else:
        print_lines([f"{name} is {overlay['state']}: {overlay['subnet']}, MTU {overlay['mtu']}, in {took(operation)}"])


@overlays.command("rm")
def remove_overlay(
    cluster: ClusterArgument,
    name: OverlayArgument,
    *,
    wait: WaitOption = True,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    endpoint: EndpointOption = DEFAULT_ENDPOINT,
    output: OutputOption = Format.TABLE,
) -> None:
    """Remove an overlay network. Containers that use it have to leave it first."""
    with connect(endpoint) as client:
        overlay, operation_id = client.remove_overlay(client.find(cluster)["id"], name)
        if operation_id is None or not wait:
            say_accepted(output, overlay, f"Overlay network {name} is being removed", operation_id)
            return
        heading = f"Removing overlay network {name}"
        operation = follow(client, operation_id, heading=heading, timeout_s=timeout)
    if output is Format.JSON:
        print_json(overlay)
    else:
        print_lines([f"{name} is removed, in {took(operation)}"])


def _latest(client: "Client", cluster_id: str, overlay: Overlay) -> Overlay:
    """Return the overlay network as it is now, or as it was accepted if someone removed it meanwhile."""
    return next((now for now in client.overlays(cluster_id) if now["name"] == overlay["name"]), overlay)
