"""create: a cluster, from nothing to one that serves."""

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, cast

import typer

from carina_cli.cluster_types import chosen, versioned
from carina_cli.commands.changes import count_of, say_accepted, summary, wait_for_cluster
from carina_cli.config import DEFAULT_ENDPOINT
from carina_cli.errors import CliError, UsageMistake
from carina_cli.options import (
    DEFAULT_TIMEOUT_S,
    EndpointOption,
    OutputOption,
    TimeoutOption,
    WaitOption,
    complete_host,
    connect,
)
from carina_cli.output import Format, print_json, print_lines
from carina_cli.shapes import Cluster, Options, is_id

if TYPE_CHECKING:
    from carina_cli.client import Client


class Network(StrEnum):
    """Who makes the pod network of a Kubernetes cluster: Carina, with flannel, or the people who use it."""

    FLANNEL = "flannel"
    NONE = "none"


def complete_type(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the orchestrators, with and without version, that begin so; none where the service can't be asked."""
    try:
        with connect(ctx.params.get("endpoint") or DEFAULT_ENDPOINT) as client:
            kinds = [kind for kind in client.cluster_types() if kind["active"]]
    except CliError:
        return []
    words = sorted({word for kind in kinds for word in (kind["coe"].lower(), *versioned(kind)[-1:])})
    return [word for word in words if word.startswith(incomplete.lower())]


def create(  # noqa: PLR0913 - a parameter for each option
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits and inner hyphens.")],
    *,
    nodes: Annotated[int, typer.Option("--nodes", "-n", metavar="N", min=1, help="How many nodes.")] = 1,
    kind: Annotated[
        str,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="An orchestrator (its newest version), one with version such as kubernetes-1.35, or a type's id or"
            " name: see 'types'.",
            autocompletion=complete_type,
        ),
    ] = "swarm",
    network: Annotated[
        Network | None,
        typer.Option("--network", help="Kubernetes: whether Carina makes the pod network. Default: flannel."),
    ] = None,
    pod_subnet: Annotated[
        str | None, typer.Option("--pod-subnet", metavar="CIDR", help="Kubernetes: the pods' addresses.")
    ] = None,
    service_subnet: Annotated[
        str | None, typer.Option("--service-subnet", metavar="CIDR", help="Kubernetes: the services' addresses.")
    ] = None,
    node_subnet: Annotated[
        str | None,
        typer.Option("--node-subnet", metavar="CIDR", help="The nodes' addresses. Default: Carina chooses all three."),
    ] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option("--mirror", metavar="REGISTRY=URL", help="Pull a registry's images from there. May be repeated."),
    ] = None,
    insecure_registry: Annotated[
        list[str] | None,
        typer.Option(
            "--insecure-registry", metavar="HOST:PORT", help="A registry without trusted TLS. May be repeated."
        ),
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(
            "--host",
            metavar="HOST",
            help="Only on this host, for later nodes too. May be repeated.",
            autocompletion=complete_host,
        ),
    ] = None,
    not_host: Annotated[
        list[str] | None,
        typer.Option(
            "--not-host",
            metavar="HOST",
            help="Never on this host. May be repeated.",
            autocompletion=complete_host,
        ),
    ] = None,
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
    mirrors = _mirrors(mirror or ())
    with connect(endpoint) as client:
        options = _chosen(
            network=None if network is None else network.value,
            pod_subnet=pod_subnet,
            service_subnet=service_subnet,
            node_subnet=node_subnet,
            registry_mirrors=mirrors or None,
            insecure_registries=insecure_registry or None,
            hosts=[_host_name(client, each) for each in host or ()] or None,
            not_hosts=[_host_name(client, each) for each in not_host or ()] or None,
        )
        type_id = int(kind) if kind.isdecimal() else chosen(client.cluster_types(), kind)["id"]
        cluster, operation_id = client.create(
            name=name,
            type_id=type_id,
            node_count=nodes,
            options=options,
            retain=retain,
            idempotency_key=idempotency_key,
        )
        if operation_id is None or not wait:
            say_accepted(output, cluster, f"{cluster['name']} is being created: {cluster['id']}", operation_id)
            return
        cluster, operation = wait_for_cluster(
            client,
            cluster,
            operation_id,
            heading=f"Creating {cluster['name']}, {count_of(nodes, 'node')}",
            timeout_s=timeout,
            output=output,
        )
    if output is Format.JSON:
        print_json(cluster)
    else:
        print_lines([summary(cluster, operation), "", "Next:", *_next(cluster)])


def _chosen(**choices: object) -> Options:
    """Return the options that were chosen: what is None is for the service to choose."""
    return cast("Options", {name: choice for name, choice in choices.items() if choice is not None})


def _host_name(client: "Client", name_or_id: str) -> str:
    """Return a host's name, which is what the API takes. Only an id has to be looked up."""
    return client.hosts.find(name_or_id)["name"] if is_id(name_or_id) else name_or_id


def _mirrors(texts: Sequence[str]) -> dict[str, str]:
    """Return the URL of each registry's mirror."""
    mirrors: dict[str, str] = {}
    for text in texts:
        registry, _, url = text.partition("=")
        if not registry or not url:
            raise UsageMistake(
                f"{text!r} is not a registry and its mirror.",
                remedy="Write it as REGISTRY=URL, for example --mirror docker.io=http://10.0.0.5:5000.",
            )
        if registry in mirrors:
            raise UsageMistake(f"The registry {registry} has two mirrors.", remedy="Give one --mirror for each.")
        mirrors[registry] = url
    return mirrors


def _next(cluster: Cluster) -> list[str]:
    """Return what a person may want to type next."""
    name = cluster["name"]
    look = "kubectl get nodes" if cluster["cluster_type"]["coe"] == "kubernetes" else "docker info"
    return [f'  eval "$(carina env {name})"; {look}', f"  carina nodes {name}", f"  carina delete {name}"]
