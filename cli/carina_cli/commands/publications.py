"""publish, publications, unpublish: ports of hosts that lead to a cluster's nodes."""

import re
from typing import Annotated

import typer

from carina_cli.commands.changes import say_accepted
from carina_cli.config import DEFAULT_ENDPOINT
from carina_cli.describing_hosts import port_of
from carina_cli.errors import CliError, UsageMistake
from carina_cli.options import (
    DEFAULT_TIMEOUT_S,
    ClusterArgument,
    EndpointOption,
    OutputOption,
    TimeoutOption,
    WaitOption,
    connect,
)
from carina_cli.output import Format, age, print_json, print_lines, print_table, took
from carina_cli.waiting import follow

_MAPPING = re.compile(r"([0-9]{1,5}):([0-9]{1,5})(?:/(tcp|udp))?", re.IGNORECASE)
_PORT = re.compile(r"([0-9]{1,5})(?:/(tcp|udp))?", re.IGNORECASE)


def complete_port(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the cluster's published ports that begin so; none where the service can't be asked."""
    try:
        with connect(ctx.params.get("endpoint") or DEFAULT_ENDPOINT) as client:
            found = client.publications(client.find(ctx.params.get("cluster") or "")["id"])
    except CliError:
        return []
    return [port for port in map(port_of, found) if port.startswith(incomplete)]


def publish(
    cluster: ClusterArgument,
    mapping: Annotated[
        str,
        typer.Argument(metavar="PORT:NODE_PORT[/udp]", help="The hosts' port, and the nodes' port that it leads to."),
    ],
    *,
    wait: WaitOption = True,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    endpoint: EndpointOption = DEFAULT_ENDPOINT,
    output: OutputOption = Format.TABLE,
) -> None:
    """Let a port of a cluster's hosts lead to its nodes, as 80:30080 or 53:30053/udp.

    The port is the same on all hosts that publish ports and carry nodes of the cluster, those of later nodes too.
    """
    found = _MAPPING.fullmatch(mapping)
    if found is None:
        raise UsageMistake(f"{mapping!r} is no mapping of ports.", remedy="Write it like 80:30080 or 53:30053/udp.")
    host_port, node_port, protocol = int(found[1]), int(found[2]), (found[3] or "tcp").lower()
    with connect(endpoint) as client:
        owner = client.find(cluster)
        made, operation_id = client.publish(owner["id"], host_port=host_port, node_port=node_port, protocol=protocol)
        port = port_of(made)
        if operation_id is None or not wait:
            say_accepted(output, made, f"Port {port} is being published for {owner['name']}", operation_id)
            return
        heading = f"Publishing port {port} for {owner['name']}"
        operation = follow(client, operation_id, heading=heading, timeout_s=timeout)
        made = next((now for now in client.publications(owner["id"]) if port_of(now) == port), made)
    if output is Format.JSON:
        print_json(made)
        return
    where = ", ".join(made["addresses"]) or "no host publishes it yet"
    print_lines([f"{port} leads to {owner['name']}, port {node_port}: {where}, in {took(operation)}"])


def publications(
    cluster: ClusterArgument, *, endpoint: EndpointOption = DEFAULT_ENDPOINT, output: OutputOption = Format.TABLE
) -> None:
    """List the published ports of a cluster."""
    with connect(endpoint) as client:
        found = client.publications(client.find(cluster)["id"])
    if output is Format.JSON:
        print_json({"publications": found, "links": []})
        return
    print_table(
        ["PORT", "NODE PORT", "ADDRESSES", "AGE"],
        [[port_of(each), each["node_port"], ", ".join(each["addresses"]), age(each["created_at"])] for each in found],
    )


def unpublish(
    cluster: ClusterArgument,
    port: Annotated[str, typer.Argument(metavar="PORT[/udp]", help="The hosts' port.", autocompletion=complete_port)],
    *,
    wait: WaitOption = True,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    endpoint: EndpointOption = DEFAULT_ENDPOINT,
    output: OutputOption = Format.TABLE,
) -> None:
    """Withdraw a published port of a cluster."""
    found = _PORT.fullmatch(port)
    if found is None:
        raise UsageMistake(f"{port!r} is no published port.", remedy="Write it like 80 or 53/udp.")
    with connect(endpoint) as client:
        owner = client.find(cluster)
        gone, operation_id = client.unpublish(
            owner["id"], host_port=int(found[1]), protocol=(found[2] or "tcp").lower()
        )
        said = port_of(gone)
        if operation_id is None or not wait:
            say_accepted(output, gone, f"Port {said} of {owner['name']} is being withdrawn", operation_id)
            return
        heading = f"Withdrawing port {said} of {owner['name']}"
        operation = follow(client, operation_id, heading=heading, timeout_s=timeout)
    if output is Format.JSON:
        print_json(gone)
    else:
        print_lines([f"{said} leads to {owner['name']} no more, in {took(operation)}"])
