"""host add, prepare, drain, remove: changes to hosts that take a while, and are followed."""

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from carina_cli.commands.changes import count_of, say_accepted
from carina_cli.config import DEFAULT_ENDPOINT
from carina_cli.confirming import confirmed
from carina_cli.describing_hosts import host_summary, print_report
from carina_cli.errors import CliError, UsageMistake
from carina_cli.host_keys import is_fingerprint, read_key
from carina_cli.host_shapes import Host, NewHost
from carina_cli.options import EndpointOption, HostArgument, OutputOption, TimeoutOption, WaitOption, YesOption, connect
from carina_cli.output import Format, print_json, print_lines, took
from carina_cli.waiting import follow

if TYPE_CHECKING:
    from carina_cli.client import Client

HOST_TIMEOUT_S = 1800.0
"""How long a change to a host is waited for: packages are installed, a node image is sent, nodes are made anew."""


class Reach(StrEnum):
    """How the nodes on a host are reached."""

    DIRECT = "direct"
    PUBLISHED = "published"


def add_host(  # noqa: PLR0913 - a parameter for each option
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits and inner hyphens.")],
    *,
    address: Annotated[str, typer.Option("--address", metavar="ADDRESS", help="Its IP address or DNS name, for SSH.")],
    user: Annotated[
        str | None,
        typer.Option("--user", help="Who logs in: root, or one who may use sudo without a password. Default: root."),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", metavar="PORT", min=1, max=65535, help="Of its SSH server. Default: 22.")
    ] = None,
    identity: Annotated[
        str | None,
        typer.Option(
            "--identity",
            metavar="FILE",
            help="The private key to log in with: its path on the service's machine, not on this one."
            " Default: the service's own key, or those of its agent.",
        ),
    ] = None,
    host_key: Annotated[
        str | None,
        typer.Option(
            "--host-key",
            metavar="KEY|FILE|-",
            help="The host's public key, a file that has it, - for standard input, or its fingerprint (SHA256:...)."
            " Default: what the host presents is shown, and you are asked.",
        ),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option("--zone", help="What it shares a fate with, such as a rack: clusters spread over zones."),
    ] = None,
    reach: Annotated[
        Reach | None,
        typer.Option(
            "--reach",
            help="How its nodes are reached: at ports of the host (published), or at their own addresses, to which"
            " there is a route (direct). Default: published.",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device", metavar="DEVICE", help="A spare block device for its nodes' disks. It has to be empty."
        ),
    ] = None,
    fabric_address: Annotated[
        str | None,
        typer.Option("--fabric-address", metavar="IP", help="Where other hosts reach it. Default: it is found out."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure it, and say what would be changed. Nothing is.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask: trust the key that the host presents.")] = False,
    wait: WaitOption = True,
    timeout: TimeoutOption = HOST_TIMEOUT_S,
    endpoint: EndpointOption = DEFAULT_ENDPOINT,
    output: OutputOption = Format.TABLE,
) -> None:
    """Add a host: log in by SSH, measure it, install what is missing, until it can carry nodes."""
    if endpoint in set(Reach):
        raise UsageMistake("--endpoint is where the service is.", remedy=f"Say --reach {endpoint}.")
    wanted: NewHost = {"name": name, "address": address}
    if user is not None:
        wanted["user"] = user
    if port is not None:
        wanted["port"] = port
    if identity is not None:
        wanted["identity"] = identity
    if zone is not None:
        wanted["zone"] = zone
    if reach is not None:
        wanted["endpoint"] = reach.value
    if device is not None:
        wanted["device"] = device
    if fabric_address is not None:
        wanted["fabric_address"] = fabric_address
    with connect(endpoint) as client:
        if dry_run:
            _preview(client, wanted, host_key, yes=yes, output=output)
            return
        accepted = confirmed(client.hosts.add, wanted, host_key, yes=yes)
        heading = f"Preparing {name} at {address}"
        _finish(client, accepted.body, accepted.operation_id, heading, wait=wait, timeout_s=timeout, output=output)


def prepare_host(
    name: HostArgument,
    *,
    host_key: Annotated[
        str | None,
        typer.Option(
            "--host-key",
            metavar="KEY|FILE|-",
            help="The public key that the host has now, as after a new installation: it is confirmed by this.",
        ),
    ] = None,
    wait: WaitOption = True,
    timeout: TimeoutOption = HOST_TIMEOUT_S,
    endpoint: EndpointOption = DEFAULT_ENDPOINT,
    output: OutputOption = Format.TABLE,
) -> None:
    """Measure a host and prepare it again. Where nothing has gone missing, nothing is changed."""
    if host_key is not None and is_fingerprint(host_key):
        raise UsageMistake(
            "A fingerprint does not tell the key.",
            remedy="Give the public key itself, or its file: /etc/ssh/ssh_host_ed25519_key.pub of the host.",
        )
    key = None if host_key is None else read_key(host_key)
    with connect(endpoint) as client:
        found, operation_id = client.hosts.change(client.hosts.find(name)["id"], "prepare", host_key=key)
        heading = f"Preparing {found['name']}"
        _finish(client, found, operation_id, heading, wait=wait, timeout_s=timeout, output=output)


def drain_host(
    name: HostArgument,
    *,
    wait: WaitOption = True,
    timeout: TimeoutOption = HOST_TIMEOUT_S,
    endpoint: EndpointOption = DEFAULT_ENDPOINT,
    output: OutputOption = Format.TABLE,
) -> None:
    """Cordon a host and move its nodes off: new ones are made elsewhere first. What can't be moved is named."""
    with connect(endpoint) as client:
        found, operation_id = client.hosts.change(client.hosts.find(name)["id"], "drain")
        heading = f"Draining {found['name']}"
        _finish(client, found, operation_id, heading, wait=wait, timeout_s=timeout, output=output)


def remove_host(
    name: HostArgument,
    *,
    force: Annotated[
        bool,
        typer.Option("--force", help="The host is dead for good: give up its nodes, and make new ones elsewhere."),
    ] = False,
    yes: YesOption = False,
    wait: WaitOption = True,
    timeout: TimeoutOption = HOST_TIMEOUT_S,
    endpoint: EndpointOption = DEFAULT_ENDPOINT,
    output: OutputOption = Format.TABLE,
) -> None:
    """Remove a host, and take back what it was given. Refused while it carries nodes, unless it is forced."""
    with connect(endpoint) as client:
        found = client.hosts.find(name)
        if force and not yes:
            _confirm_force(found)
        found, operation_id = client.hosts.change(found["id"], "remove", force=force)
        if operation_id is None or not wait:
            say_accepted(output, found, f"{found['name']} is being removed", operation_id)
            return
        operation = follow(client, operation_id, heading=f"Removing {found['name']}", timeout_s=timeout)
    if output is Format.JSON:
        print_json({**found, "state": "removed", "operation_id": None})
    else:
        print_lines([f"{found['name']} is removed, in {took(operation)}"])


def _finish(
    client: "Client",
    found: Host,
    operation_id: str | None,
    heading: str,
    *,
    wait: bool,
    timeout_s: float,
    output: Format,
) -> None:
    """Follow a change and report. JSON shows the host even when the change failed."""
    if operation_id is None or not wait:
        say_accepted(output, found, f"{heading}: {found['id']}", operation_id)
        return
    try:
        operation = follow(client, operation_id, heading=heading, timeout_s=timeout_s)
    except CliError:
        if output is Format.JSON:
            print_json(_latest(client, found))
        raise
    found = client.hosts.get(found["id"])
    if output is Format.JSON:
        print_json(found)
    else:
        print_lines([f"{host_summary(found)}, in {took(operation)}"])


def _preview(client: "Client", wanted: NewHost, host_key: str | None, *, yes: bool, output: Format) -> None:
    preview = confirmed(client.hosts.preview, wanted, host_key, yes=yes)
    if output is Format.JSON:
        print_json(preview)
        return
    print_report(preview["report"])
    changes = preview["changes"]
    heading = "Adding it would:" if changes else f"{wanted['name']} is prepared: adding it would change nothing on it"
    print_lines([heading, *(f"  {change}" for change in changes)])


def _latest(client: "Client", found: Host) -> Host:
    """Return the host as it is now, or as it was last seen if it can't be read any more."""
    try:
        return client.hosts.get(found["id"])
    except CliError:
        return found


def _confirm_force(found: Host) -> None:
    """Ask whether to go on. Without a terminal nobody can answer: that is a mistake in the call."""
    if not sys.stdin.isatty():
        raise UsageMistake("A forced removal asks first, and there is no terminal to answer at.", remedy="Add --yes.")
    nodes = count_of(found["node_count"], "node")
    typer.confirm(f"Give up {found['name']} and the {nodes} on it, with all their data?", abort=True, err=True)
