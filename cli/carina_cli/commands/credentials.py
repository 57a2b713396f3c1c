"""credentials and env: what Docker and kubectl need to use a cluster."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from carina_cli import bundle
from carina_cli.config import DEFAULT_ENDPOINT
from carina_cli.errors import UsageMistake
from carina_cli.options import ClusterArgument, EndpointOption, OutputOption, complete_cluster, connect
from carina_cli.output import Format, print_json
from carina_cli.shapes import Cluster
from carina_cli.shells import DOCKER_VARIABLES, KUBERNETES_VARIABLES, Shell, exports, how_to, own_shell, unsets


def credentials(
    cluster: ClusterArgument,
    *,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", "-d", metavar="DIR", help="Where to. Default: ~/.carina/clusters/<cluster's id>."),
    ] = None,
    endpoint: EndpointOption = DEFAULT_ENDPOINT,
    output: OutputOption = Format.TABLE,
) -> None:
    """Fetch a cluster's credentials, and print where they are. Only you can read them."""
    with connect(endpoint) as client:
        found = client.find(cluster)
        if directory is None:
            directory = bundle.current(client, found, refresh=True)
        else:
            directory = directory.expanduser().absolute()
            bundle.unpack(client.credentials(found["id"]).archive, directory)
    if output is Format.JSON:
        files = sorted(path.name for path in directory.iterdir() if path.is_file())
        print_json({"cluster_id": found["id"], "path": str(directory), "files": files})
    else:
        sys.stdout.write(f"{directory}\n")


def env(
    cluster: Annotated[
        str | None,
        typer.Argument(metavar="CLUSTER", help="The cluster's name or id.", autocompletion=complete_cluster),
    ] = None,
    *,
    shell: Annotated[
        Shell | None, typer.Option("--shell", help="Whose words to use; bash is for sh and zsh too. Default: by SHELL.")
    ] = None,
    unset: Annotated[bool, typer.Option("--unset", help="Print what takes the variables away again.")] = False,
    endpoint: EndpointOption = DEFAULT_ENDPOINT,
    output: OutputOption = Format.TABLE,
) -> None:
    """Print what points Docker or kubectl at a cluster.

    For example: eval "$(carina env demo)"; docker info
    """
    words = shell or own_shell()
    asked = f" --shell {words}" if shell else ""
    if unset:
        names = list(dict.fromkeys([*DOCKER_VARIABLES, *KUBERNETES_VARIABLES]))
        _print(output, dict.fromkeys(names), [*unsets(words, names), how_to(words, f"carina env --unset{asked}")])
        return
    if cluster is None:
        raise UsageMistake("Which cluster?", remedy="Type 'carina env CLUSTER', or 'carina env --unset'.")
    with connect(endpoint) as client:
        found = client.find(cluster)
        directory = bundle.current(client, found)
    variables = _variables(found, directory)
    _print(output, variables, [*exports(words, variables), how_to(words, f"carina env {found['name']}{asked}")])


def _variables(cluster: Cluster, directory: Path) -> dict[str, str]:
    """Return what points the tools of the cluster's orchestrator at it."""
    name = cluster["name"]
    if cluster["cluster_type"]["coe"] == "kubernetes":
        return dict(zip(KUBERNETES_VARIABLES, (str(bundle.kubeconfig(directory)), name), strict=True))
    values = (bundle.docker_host(directory), "1", str(directory), name)
    return dict(zip(DOCKER_VARIABLES, values, strict=True))


def _print(output: Format, variables: Mapping[str, str | None], lines: list[str]) -> None:
    """Write variables as JSON, or as a shell's lines: exactly as they are, since paths may hold any character."""
    if output is Format.JSON:
        print_json(variables)
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines))
