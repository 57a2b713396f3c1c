"""kubeconfig: a Kubernetes cluster's entries in the file that kubectl and its like read."""

import base64
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carina_cli.config import DEFAULT_ENDPOINT
from carina_cli.errors import CliError, UsageMistake
from carina_cli.options import ClusterArgument, EndpointOption, connect
from carina_cli.output import Format, print_json, print_lines
from carina_cli.shapes import Cluster

if TYPE_CHECKING:
    from carina_cli.client import Client
    from carina_cli.kubeconfig import Access

PREFIX = "carina-"
"""What the names of all entries begin with: the cluster's name follows."""

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def kubeconfig(
    cluster: ClusterArgument,
    *,
    file: Annotated[
        str | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Which file; - for standard output. Default: the first of KUBECONFIG, or ~/.kube/config.",
        ),
    ] = None,
    lifetime: Annotated[
        str | None,
        typer.Option("--lifetime", metavar="TIME", help="How long it is good for, such as 30m or 8h. Default: a day."),
    ] = None,
    switch: Annotated[
        bool, typer.Option("--switch/--no-switch", help="Make it the current context, or leave that as it is.")
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Take entries of that name that are not Carina's.")] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take the entries out, also those of a cluster that is gone.")
    ] = False,
    endpoint: EndpointOption = DEFAULT_ENDPOINT,
    output: Annotated[
        Format, typer.Option("--format", "-o", help="A line for people, or JSON for programs.")
    ] = Format.TABLE,
) -> None:
    """Put a Kubernetes cluster into a kubeconfig file, with a new certificate for you alone.

    Cluster, user and context are named carina-CLUSTER. All other entries of the file are kept. When the certificate
    has ended, the same command renews it.
    """
    if remove:
        if file == "-" or lifetime is not None:
            raise UsageMistake("--remove goes with a file, and needs no --lifetime.")
        _remove(cluster, file, force=force, output=output)
        return
    lifetime_s = None if lifetime is None else _seconds(lifetime)
    with connect(endpoint) as client:
        found = client.find(cluster)
        access, expire = _access(client, found, lifetime_s)
    from carina_cli import kubeconfig as config  # noqa: PLC0415 - yaml, for this command only
    from carina_cli import kubeconfig_file  # noqa: PLC0415

    if file == "-":
        whole = config.document(access)
        if output is Format.JSON:
            print_json(whole)
        else:
            sys.stdout.write(config.merged("", access, switch=True, force=False))
        return
    path = kubeconfig_file.own_file() if file is None else Path(file).expanduser()
    kubeconfig_file.change(path, lambda text: config.merged(text, access, switch=switch, force=force))
    if output is Format.JSON:
        about = {"cluster_id": found["id"], "path": str(path), "context": access.name}
        print_json({**about, "current": switch, "expire": expire})
        return
    end = f", good until {expire}" if expire else ""
    elsewhere = "" if path in kubeconfig_file.files_of_kubectl() else f" --kubeconfig {shlex.quote(str(path))}"
    context = "" if switch else f" --context {access.name}"
    print_lines([f"{access.name} is in {path}{end}", "", "Next:", f"  kubectl{elsewhere}{context} get nodes"])


def _remove(cluster: str, file: str | None, *, force: bool, output: Format) -> None:
    """Take a cluster's entries out of the file. The service is not asked: it may know the cluster no more."""
    from carina_cli import kubeconfig as config  # noqa: PLC0415 - yaml, for this command only
    from carina_cli import kubeconfig_file  # noqa: PLC0415

    path = kubeconfig_file.own_file() if file is None else Path(file).expanduser()
    name = ""

    def take_out(text: str) -> str:
        nonlocal name
        text, name = config.without(text, cluster, prefix=PREFIX, force=force)
        return text

    kubeconfig_file.change(path, take_out)
    if output is Format.JSON:
        print_json({"path": str(path), "context": name})
    else:
        print_lines([f"{name} is out of {path}"])


def _access(client: "Client", cluster: Cluster, lifetime_s: int | None) -> "tuple[Access, str | None]":
    """Fetch new credentials, and return what they give access to, and when they end."""
    from carina_cli import kubeconfig as config  # noqa: PLC0415 - yaml and zipfile, for this command only
    from carina_cli.bundle import KUBECONFIG, files_of  # noqa: PLC0415

    if cluster["cluster_type"]["coe"] != "kubernetes":
        raise UsageMistake(
            f"{cluster['name']} is no Kubernetes cluster.",
            f"It is one of {cluster['cluster_type']['name']}.",
            f"'carina env {cluster['name']}' prints what its own tools need.",
        )
    archive, expire = client.credentials(cluster["id"], lifetime_s=lifetime_s)
    files = files_of(archive)
    try:
        authority, certificate, key = (
            base64.b64encode(files[name]).decode() for name in ("ca.pem", "cert.pem", "key.pem")
        )
        server = config.server_of(files[KUBECONFIG].decode())
    except (KeyError, UnicodeDecodeError) as error:
        raise CliError("The service sent credentials that are not whole.", str(error)) from error
    name = f"{PREFIX}{cluster['name']}"
    return config.Access(name, server, client.endpoint, cluster["id"], authority, certificate, key), expire


def _seconds(text: str) -> int:
    """Return a length of time such as 8h or 1h30m in seconds."""
    if not re.fullmatch(r"(?:\d{1,9}[smhd])+", text):
        raise UsageMistake(f"{text!r} is no length of time.", remedy="Write it as 90s, 30m, 8h, 2d or 1h30m.")
    return sum(int(number) * _UNITS_S[unit] for number, unit in re.findall(r"(\d+)([smhd])", text))
