"""What all changes to a cluster have in common once the service has accepted them."""

from typing import TYPE_CHECKING

from carina_cli.errors import CliError
from carina_cli.output import Format, complain, print_json, print_lines, took
from carina_cli.shapes import Cluster, Operation
from carina_cli.waiting import follow

if TYPE_CHECKING:
    from carina_cli.client import Client


def say_accepted(output: Format, document: object, sentence: str, operation_id: str | None) -> None:
    """Report a change that nobody waits for."""
    if output is Format.JSON:
        print_json(document)
        complain([f"Operation {operation_id}"] if operation_id else [])
        return
    print_lines([sentence])
    if operation_id:
        print_lines([f"See how it goes: carina operation {operation_id} --wait"])


def wait_for_cluster(
    client: "Client", cluster: Cluster, operation_id: str, *, heading: str, timeout_s: float, output: Format
) -> tuple[Cluster, Operation]:
    """Follow a change, and return the cluster as it is then. JSON shows it even when the change failed."""
    try:
        operation = follow(client, operation_id, heading=heading, timeout_s=timeout_s)
    except CliError:
        if output is Format.JSON:
            print_json(_latest(client, cluster))
        raise
    return client.cluster(cluster["id"]), operation


def summary(cluster: Cluster, operation: Operation | None = None) -> str:
    """Return a cluster in one line, with the time that the operation took."""
    parts = [count_of(cluster["node_count"], "node")]
    if cluster.get("endpoint"):
        parts.append(str(cluster["endpoint"]))
    if operation is not None:
        parts.append(f"in {took(operation)}")
    return f"{cluster['name']} is {cluster['status']}: {', '.join(parts)}"


def count_of(count: int, thing: str) -> str:
    """Return a number of things in words."""
    return f"{count} {thing}" + ("" if count == 1 else "s")


def _latest(client: "Client", cluster: Cluster) -> Cluster:
    """Return the cluster as it is now, or as it was last seen if it can't be read any more."""
    try:
        return client.cluster(cluster["id"])
    except CliError:
        return cluster
