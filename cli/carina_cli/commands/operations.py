"""operations and operation: what is being done to a cluster, and what was."""

from typing import Annotated

import typer

from carina_cli.config import DEFAULT_ENDPOINT
from carina_cli.errors import OperationFailed, TimedOut
from carina_cli.options import (
    DEFAULT_TIMEOUT_S,
    ClusterArgument,
    EndpointOption,
    OutputOption,
    TimeoutOption,
    connect,
)
from carina_cli.output import Format, print_fields, print_json, print_lines, print_table, took
from carina_cli.progress import step_line
from carina_cli.shapes import Operation, is_id
from carina_cli.waiting import follow


def operations(
    cluster: ClusterArgument, *, endpoint: EndpointOption = DEFAULT_ENDPOINT, output: OutputOption = Format.TABLE
) -> None:
    """List a cluster's operations, oldest first. By id, those of a deleted cluster too."""
    with connect(endpoint) as client:
        found = client.operations(cluster.lower() if is_id(cluster) else client.find(cluster)["id"])
    if output is Format.JSON:
        print_json({"operations": found, "links": []})
        return
    print_table(
        ["ID", "KIND", "STATE", "STARTED", "TOOK", "ERROR"],
        [
            [
                operation["id"],
                operation["kind"],
                operation["state"],
                operation["created_at"],
                took(operation),
                (operation["error"] or {}).get("code"),
            ]
            for operation in found
        ],
    )


def operation(
    operation_id: Annotated[str, typer.Argument(metavar="ID", help="The operation's id.")],
    *,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it until it has ended.")] = False,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    endpoint: EndpointOption = DEFAULT_ENDPOINT,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show an operation with its steps. With --wait, the exit code says how it ended."""
    with connect(endpoint) as client:
        try:
            if wait:
                follow(client, operation_id, heading=f"Operation {operation_id}", timeout_s=timeout)
        except (OperationFailed, TimedOut):
            if output is Format.JSON:
                print_json(client.operation(operation_id))
            raise
        found = client.operation(operation_id)
    if output is Format.JSON:
        print_json(found)
    elif wait:
        print_lines([f"{found['kind']} has {found['state']}, in {took(found)}"])
    else:
        _print(found)


def _print(operation: Operation) -> None:
    """Write an operation for people."""
    error = operation["error"] or {}
    print_fields(
        [
            ("Operation", operation["id"]),
            ("Kind", operation["kind"]),
            ("State", operation["state"]),
            ("Cluster", operation["cluster_id"]),
            ("Host", operation["host_id"]),
            ("Workflow", operation["workflow_id"]),
            ("Accepted", operation["created_at"]),
            ("Ended", operation["ended_at"]),
            ("Took", took(operation)),
            ("Error", f"{error.get('title')} ({error.get('code')})" if error else ""),
            ("Detail", error.get("detail")),
            ("What to do", error.get("remedy")),
        ]
    )
    if operation["steps"]:
        print_lines(["Steps:", *(step_line(step).rstrip() for step in operation["steps"])])
