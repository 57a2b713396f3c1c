"""host: the commands about hosts, the machines that carry nodes."""

from collections.abc import Callable, Mapping

import typer

from carina_cli.commands import host_changes, hosts

host = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
COMMANDS: Mapping[str, Callable[..., None]] = {
    "add": host_changes.add_host,
    "ls": hosts.list_hosts,
    "get": hosts.get_host,
    "nodes": hosts.list_host_nodes,
    "doctor": hosts.diagnose_host,
    "prepare": host_changes.prepare_host,
    "cordon": hosts.cordon_host,
    "uncordon": hosts.uncordon_host,
    "drain": host_changes.drain_host,
    "remove": host_changes.remove_host,
}
for name, command in COMMANDS.items():
    host.command(name)(command)
