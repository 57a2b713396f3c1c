"""overlays ls, add, rm: the overlay networks of a cluster."""

from typing import TYPE_CHECKING, Annotated

import typer

from carina_cli.commands.changes import say_accepted
from carina_cli.config import DEFAULT_ENDPOINT
from carina_cli.groups import group
from carina_cli.options import (
    DEFAULT_TIMEOUT_S,
    ClusterArgument,
    EndpointOption,
    OutputOption,
    TimeoutOption,
    WaitOption,
    connect,
)
from carina_cli.output import Format, print_json, print_lines, print_table, took, yes_or_no
from carina_cli.shapes import NewOverlay, Operation, Overlay
from carina_cli.waiting import follow

if TYPE_CHECKING:
    from carina_cli.client import Client

OverlayArgument = Annotated[str, typer.Argument(metavar="NAME", help="The overlay network's name.")]

overlays = group()


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
        ["NAME", "SUBNET", "MTU", "STATE", "ATTACHABLE", "ENCRYPTED", "SERVICES", "VERIFIED"],
        [
            [
                overlay["name"],
                overlay["subnet"],
                overlay["mtu"],
                overlay["state"],
                yes_or_no(overlay["attachable"]),
                yes_or_no(overlay["encrypted"]),
                ", ".join(overlay.get("services") or ()),
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
        str | None, typer.Option("--subnet", metavar="CIDR", help="Swarm: its addresses. Default: Carina chooses.")
    ] = None,
    attachable: Annotated[
        bool | None,
        typer.Option(
            "--attachable/--no-attachable",
            help="Swarm: whether plain containers may join, not services only. Default: they may.",
        ),
    ] = None,
    encrypted: Annotated[
        bool, typer.Option("--encrypted", help="Swarm: encrypt traffic between nodes, where the hosts can.")
    ] = False,
    service: Annotated[
        list[str] | None,
        typer.Option(
            "--service",
            metavar="NAME:PORT",
            help="Kubernetes: what anyone may reach in it, the pods labelled app=NAME. May be repeated.",
        ),
    ] = None,
    wait: WaitOption = True,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    endpoint: EndpointOption = DEFAULT_ENDPOINT,
    output: OutputOption = Format.TABLE,
) -> None:
    """Make an overlay network across a cluster's nodes, and check it.

    On Swarm it is a network that containers reach each other on; on Kubernetes a namespace whose pods are isolated
    from all others, but for the services that are named.
    """
    wanted: NewOverlay = {"name": name}
    if subnet is not None:
        wanted["subnet"] = subnet
    if attachable is not None:
        wanted["attachable"] = attachable
    if encrypted:
        wanted["encrypted"] = True
    if service:
        wanted["services"] = service
    with connect(endpoint) as client:
        cluster_id = client.find(cluster)["id"]
        overlay, operation_id = client.add_overlay(cluster_id, wanted)
        if operation_id is None or not wait:
            say_accepted(output, overlay, f"Overlay network {name} is being made", operation_id)
            return
        heading = f"Making overlay network {name}"
        operation = follow(client, operation_id, heading=heading, timeout_s=timeout)
        overlay = _latest(client, cluster_id, overlay)
    if output is Format.JSON:
        print_json(overlay)
    else:
        print_lines([_summary(overlay, operation)])


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


def _summary(overlay: Overlay, operation: Operation) -> str:
    """Return an overlay network in one line, with the time that it took."""
    parts = [overlay["subnet"], f"MTU {overlay['mtu']}"] if overlay["subnet"] else ["isolated"]
    if overlay.get("services"):
        parts.append(f"services {', '.join(overlay['services'])}")
    return f"{overlay['name']} is {overlay['state']}: {', '.join(map(str, parts))}, in {took(operation)}"


def _latest(client: "Client", cluster_id: str, overlay: Overlay) -> Overlay:
    """Return the overlay network as it is now, or as it was accepted if someone removed it meanwhile."""
    return next((now for now in client.overlays(cluster_id) if now["name"] == overlay["name"]), overlay)
