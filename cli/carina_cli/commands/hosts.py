"""host ls, get, nodes, doctor, cordon, uncordon: what there is to say of hosts, and what takes no time."""

import typer

from carina_cli.config import DEFAULT_ENDPOINT
from carina_cli.describing_hosts import lacks, print_host, print_hosts, print_report
from carina_cli.errors import FAILED
from carina_cli.options import EndpointOption, HostArgument, OutputOption, connect
from carina_cli.output import Format, print_json, print_lines, print_table


def list_hosts(*, endpoint: EndpointOption = DEFAULT_ENDPOINT, output: OutputOption = Format.TABLE) -> None:
    """List the hosts, with their room."""
    with connect(endpoint) as client:
        found = client.hosts.all()
    if output is Format.JSON:
        print_json({"hosts": found, "links": []})
    else:
        print_hosts(found)


def get_host(
    name: HostArgument, *, endpoint: EndpointOption = DEFAULT_ENDPOINT, output: OutputOption = Format.TABLE
) -> None:
    """Show a host."""
    with connect(endpoint) as client:
        found = client.hosts.find(name)
    if output is Format.JSON:
        print_json(found)
    else:
        print_host(found)


def list_host_nodes(
    name: HostArgument, *, endpoint: EndpointOption = DEFAULT_ENDPOINT, output: OutputOption = Format.TABLE
) -> None:
    """List the nodes on a host, of all clusters."""
    with connect(endpoint) as client:
        nodes = client.hosts.nodes(client.hosts.find(name)["id"])
    if output is Format.JSON:
        print_json({"nodes": nodes, "links": []})
        return
    print_table(
        ["NAME", "CLUSTER", "ROLE", "STATE", "ADDRESS", "CONTAINER"],
        [
            [node["name"], node["cluster"]["name"], node["role"], node["state"], node["address"], node["container"]]
            for node in nodes
        ],
    )


def diagnose_host(
    name: HostArgument, *, endpoint: EndpointOption = DEFAULT_ENDPOINT, output: OutputOption = Format.TABLE
) -> None:
    """Say what a host can do, what that means for clusters, and what mends it. Exit code 1 if something is missing.

    It is what was measured when the host was last prepared: 'host prepare' measures anew.
    """
    with connect(endpoint) as client:
        report = client.hosts.report(client.hosts.find(name)["id"])
    if output is Format.JSON:
        print_json(report)
    else:
        print_report(report)
    if lacks(report):
        raise typer.Exit(FAILED)


def cordon_host(
    name: HostArgument, *, endpoint: EndpointOption = DEFAULT_ENDPOINT, output: OutputOption = Format.TABLE
) -> None:
    """Let a host take no new nodes. Those that are there stay."""
    _set_cordoned(name, "cordon", "is cordoned: it takes no new nodes", endpoint, output)


def uncordon_host(
    name: HostArgument, *, endpoint: EndpointOption = DEFAULT_ENDPOINT, output: OutputOption = Format.TABLE
) -> None:
    """Let a host take new nodes again."""
    _set_cordoned(name, "uncordon", "takes new nodes", endpoint, output)


def _set_cordoned(name: str, task: str, outcome: str, endpoint: str, output: Format) -> None:
    with connect(endpoint) as client:
        changed, _ = client.hosts.change(client.hosts.find(name)["id"], task)
    if output is Format.JSON:
        print_json(changed)
    else:
        print_lines([f"{changed['name']} {outcome}"])
