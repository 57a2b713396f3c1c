"""create, ls, get, nodes, grow, resize, delete, types: clusters themselves."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from carina_cli.commands.changes import say_accepted, summary, wait_for_cluster
from carina_cli.config import DEFAULT_ENDPOINT
from carina_cli.errors import UsageMistake
from carina_cli.options import (
    DEFAULT_TIMEOUT_S,
    ClusterArgument,
    EndpointOption,
    OutputOption,
    TimeoutOption,
    WaitOption,
    connect,
)
from carina_cli.output import Format, age, print_cluster, print_json, print_lines, print_table, took
from carina_cli.shapes import Cluster, ClusterType
from carina_cli.waiting import follow

if TYPE_CHECKING:
    from carina_cli.client import Client


def create(  # noqa: PLR0913 - a parameter for each option
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits and inner hyphens.")],
    *,
    nodes: Annotated[int, typer.Option("--nodes", "-n", metavar="N", min=1, help="How many nodes.")] = 1,
    kind: Annotated[
        str, typer.Option("--type", metavar="TYPE", help="An orchestrator, or a type's id or name: see 'types'.")
    ] = "swarm",
    wait: WaitOption = True,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    retain: Annotated[bool, typer.Option("--retain", help="Keep the pieces if it fails, for a look.")] = False,
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            "--idempotency-key", metavar="KEY", help="The same key gives the same cluster. Default: a new one."
        ),
    ] = None,
    endpoint: EndpointOption = DEFAULT_ENDPOINT,
    output: OutputOption = Format.TABLE,
) -> None:
    """Create a cluster."""
    with connect(endpoint) as client:
        type_id = int(kind) if kind.isdecimal() else _type_named(client.cluster_types(), kind)["id"]
        cluster, operation_id = client.create(
            name=name, type_id=type_id, node_count=nodes, retain=retain, idempotency_key=idempotency_key
        )
        if operation_id is None or not wait:
            say_accepted(output, cluster, f"{cluster['name']} is being created: {cluster['id']}", operation_id)
            return
        cluster, operation = wait_for_cluster(
            client,
            cluster,
            operation_id,
            heading=f"Creating {cluster['name']}, {_nodes(nodes)}",
            timeout_s=timeout,
            output=output,
        )
    if output is Format.JSON:
        print_json(cluster)
        return
    print_lines(
        [
            summary(cluster, operation),
            "",
            "Next:",
            f'  eval "$(carina env {cluster["name"]})"; docker info',
            f"  carina nodes {cluster['name']}",
            f"  carina delete {cluster['name']}",
        ]
    )


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
                cluster["cluster_type"]["coe"],
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
    else:
        print_cluster(found)


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
        ["NAME", "ROLE", "STATE", "ADDRESS", "HOST", "CONTAINER"],
        [
            [node["name"], node["role"], node["state"], node["address"], node["host"], node["container"]]
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
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
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
        ["ID", "NAME", "COE", "NODES ARE", "ACTIVE"],
        [
            [kind["id"], kind["name"], kind["coe"], kind["host_type"], "yes" if kind["active"] else "no"]
            for kind in kinds
        ],
    )


def _resize(client: "Client", cluster: Cluster, count: int, *, wait: bool, timeout_s: float, output: Format) -> None:
    """Resize a cluster and report."""
    name = cluster["name"]
    cluster, operation_id = client.resize(cluster["id"], count)
    if operation_id is None:
        say_accepted(output, cluster, f"{name} has {_nodes(count)} already", None)
        return
    if not wait:
        say_accepted(output, cluster, f"{name} is being resized to {_nodes(count)}", operation_id)
        return
    heading = f"Resizing {name} to {_nodes(count)}"
    cluster, operation = wait_for_cluster(
        client, cluster, operation_id, heading=heading, timeout_s=timeout_s, output=output
    )
    if output is Format.JSON:
        print_json(cluster)
    else:
        print_lines([summary(cluster, operation)])


def _type_named(kinds: list[ClusterType], wanted: str) -> ClusterType:
    """Return the active type of that name or orchestrator; of several with one orchestrator, that of the highest id."""
    active = [kind for kind in kinds if kind["active"]]
    named = [kind for kind in active if kind["name"].lower() == wanted.lower()]
    found = named or [kind for kind in active if kind["coe"].lower() == wanted.lower()]
    if not found:
        known = ", ".join(f"{kind['coe']} (id {kind['id']}, {kind['name']})" for kind in active)
        raise UsageMistake(f"There is no cluster type {wanted!r}.", remedy=f"Choose one of: {known}.")
    return max(found, key=lambda kind: kind["id"])


def _confirm_delete(cluster: Cluster) -> None:
    """Ask whether to go on. Without a terminal nobody can answer: that is a mistake in the call."""
    if not sys.stdin.isatty():
        raise UsageMistake("Deleting asks first, and there is no terminal to answer at.", remedy="Add --yes.")
    question = f"Delete {cluster['name']} ({_nodes(cluster['node_count'])}) and all that runs on it?"
    typer.confirm(question, abort=True, err=True)


def _nodes(count: int) -> str:
    """Return a number of nodes in words."""
    return f"{count} node" + ("" if count == 1 else "s")
