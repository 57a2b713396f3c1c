"""ls, get, nodes, grow, resize, delete, types: clusters themselves."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from carina_cli.commands.changes import count_of, say_accepted, summary, wait_for_cluster
from carina_cli.config import DEFAULT_ENDPOINT
from carina_cli.describing import kind_of, print_cluster
from carina_cli.errors import ApiError, UsageMistake
from carina_cli.host_shapes import Publication
from carina_cli.options import (
    DEFAULT_TIMEOUT_S,
    ClusterArgument,
    EndpointOption,
    OutputOption,
    TimeoutOption,
    WaitOption,
    YesOption,
    connect,
)
from carina_cli.output import Format, age, print_json, print_lines, print_table, took, yes_or_no
from carina_cli.shapes import Cluster
from carina_cli.waiting import follow

if TYPE_CHECKING:
    from carina_cli.client import Client


def ls(*, endpoint: EndpointOption = DEFAULT_ENDPOINT, output: OutputOption = Format.TABLE) -> None:
    """List the clusters."""
    with connect(endpoint) as client:
        clusters = client.clusters()
    if output is Format.JSON:
        print_json({"clusters": clusters, "links": []})
        return
    print_table(
        ["NAME", "STATUS", "HEALTH", "NODES", "TYPE", "ENDPOINT", "AGE", "ID"],
        [
            [
                cluster["name"],
                cluster["status"],
                cluster.get("health"),
                cluster["node_count"],
                kind_of(cluster),
                cluster.get("endpoint"),
                age(cluster["created_at"]),
                cluster["id"],
            ]
            for cluster in clusters
        ],
    )


def get(
    cluster: ClusterArgument, *, endpoint: EndpointOption = DEFAULT_ENDPOINT, output: OutputOption = Format.TABLE
) -> None:
    """Show a cluster."""
    with connect(endpoint) as client:
        found = client.find(cluster)
        if output is Format.JSON:
            print_json(found)
            return
        members, ports = client.nodes(found["id"]), _publications(client, found)
    print_cluster(found, members, ports)


def nodes(
    cluster: ClusterArgument, *, endpoint: EndpointOption = DEFAULT_ENDPOINT, output: OutputOption = Format.TABLE
) -> None:
    """List a cluster's nodes."""
    with connect(endpoint) as client:
        members = client.nodes(client.find(cluster)["id"])
    if output is Format.JSON:
        print_json({"nodes": members, "links": []})
        return
    print_table(
        ["NAME", "ROLE", "STATE", "ADDRESS", "ENDPOINT", "HOST", "CONTAINER"],
        [
            [
                node["name"],
                node["role"],
                node["state"],
                node["address"],
                node.get("endpoint") or "",  # a service that is older doesn't say
                node["host"],
                node["container"],
            ]
            for node in members
        ],
    )


def grow(
    cluster: ClusterArgument,
    *,
    by: Annotated[int, typer.Option("--by", metavar="N", min=1, help="How many nodes to add.")] = 1,
    wait: WaitOption = True,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    endpoint: EndpointOption = DEFAULT_ENDPOINT,
    output: OutputOption = Format.TABLE,
) -> None:
    """Add nodes to a cluster: all of them, or none."""
    with connect(endpoint) as client:
        found = client.find(cluster)
        _resize(client, found, found["node_count"] + by, wait=wait, timeout_s=timeout, output=output)


def resize(
    cluster: ClusterArgument,
    *,
    nodes: Annotated[int, typer.Option("--nodes", "-n", metavar="N", min=1, help="How many nodes it is to have.")],
    wait: WaitOption = True,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    endpoint: EndpointOption = DEFAULT_ENDPOINT,
    output: OutputOption = Format.TABLE,
) -> None:
    """Give a cluster another number of nodes. Going down, the newest workers leave; the manager stays."""
    with connect(endpoint) as client:
        _resize(client, client.find(cluster), nodes, wait=wait, timeout_s=timeout, output=output)


def delete(
    cluster: ClusterArgument,
    *,
    force: Annotated[bool, typer.Option("--force", help="Cancel a change that is running, first.")] = False,
    yes: YesOption = False,
    wait: WaitOption = True,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    endpoint: EndpointOption = DEFAULT_ENDPOINT,
    output: OutputOption = Format.TABLE,
) -> None:
    """Delete a cluster, its nodes and all that runs on them."""
    with connect(endpoint) as client:
        found = client.find(cluster)
        if not yes:
            _confirm_delete(found)
        found, operation_id = client.delete(found["id"], force=force)
        if operation_id is None or not wait:
            say_accepted(output, found, f"{found['name']} is being deleted", operation_id)
            return
        operation = follow(client, operation_id, heading=f"Deleting {found['name']}", timeout_s=timeout)
    from carina_cli import bundle  # noqa: PLC0415 - zipfile, for the commands that need it only

    bundle.discard(found)
    if output is Format.JSON:
        print_json({**found, "status": "deleted", "operation_id": None})
    else:
        print_lines([f"{found['name']} is deleted, in {took(operation)}"])


def types(*, endpoint: EndpointOption = DEFAULT_ENDPOINT, output: OutputOption = Format.TABLE) -> None:
    """List what clusters can be made of."""
    with connect(endpoint) as client:
        kinds = client.cluster_types()
    if output is Format.JSON:
        print_json({"cluster_types": kinds})
        return
    print_table(
        ["ID", "NAME", "COE", "VERSION", "NODES ARE", "ACTIVE"],
        [
            [kind["id"], kind["name"], kind["coe"], kind.get("version"), kind["host_type"], yes_or_no(kind["active"])]
            for kind in kinds
        ],
    )


def _resize(client: "Client", cluster: Cluster, count: int, *, wait: bool, timeout_s: float, output: Format) -> None:
    """Resize a cluster and report."""
    name = cluster["name"]
    cluster, operation_id = client.resize(cluster["id"], count)
    if operation_id is None:
        say_accepted(output, cluster, f"{name} has {count_of(count, 'node')} already", None)
        return
    if not wait:
        say_accepted(output, cluster, f"{name} is being resized to {count_of(count, 'node')}", operation_id)
        return
    heading = f"Resizing {name} to {count_of(count, 'node')}"
    cluster, operation = wait_for_cluster(
        client, cluster, operation_id, heading=heading, timeout_s=timeout_s, output=output
    )
    if output is Format.JSON:
        print_json(cluster)
    else:
        print_lines([summary(cluster, operation)])


def _publications(client: "Client", cluster: Cluster) -> list[Publication]:
    """Return the cluster's published ports: none where the service is of a version that knows nothing of them."""
    try:
        return client.publications(cluster["id"])
    except ApiError as error:
        if error.code != "not-found":
            raise
        return []


def _confirm_delete(cluster: Cluster) -> None:
    """Ask whether to go on. Without a terminal nobody can answer: that is a mistake in the call."""
    if not sys.stdin.isatty():
        raise UsageMistake("Deleting asks first, and there is no terminal to answer at.", remedy="Add --yes.")
    question = f"Delete {cluster['name']} ({count_of(cluster['node_count'], 'node')}) and all that runs on it?"
    typer.confirm(question, abort=True, err=True)
