"""A cluster as people read it."""

from collections import Counter
from collections.abc import Sequence

from carina_cli.describing_hosts import port_of
from carina_cli.host_shapes import Publication
from carina_cli.output import print_fields, print_lines
from carina_cli.shapes import Cluster, Node, Problem


def kind_of(cluster: Cluster) -> str:
    """Return a cluster's orchestrator, with its version where that is known."""
    kind = cluster["cluster_type"]
    return f"{kind['coe']} {kind.get('version') or ''}".rstrip()


def print_cluster(cluster: Cluster, nodes: Sequence[Node], publications: Sequence[Publication]) -> None:
    """Write all that there is to say of a cluster, of where its nodes are, and of the ports that lead to them."""
    kind = cluster["cluster_type"]
    print_fields(
        [
            ("Name", cluster["name"]),
            ("Id", cluster["id"]),
            ("Type", f"{kind['name']} ({kind['id']})"),
            ("Version", kind.get("version")),
            ("Status", cluster["status"]),
            ("Health", cluster.get("health")),
            ("Nodes", cluster["node_count"]),
            ("Hosts", ", ".join(f"{host} ({count})" for host, count in Counter(n["host"] for n in nodes).items())),
            ("Endpoint", cluster.get("endpoint")),
            ("Subnet", cluster.get("subnet")),
            *_options(cluster),
            *(("Published", _published(publication)) for publication in publications),
            ("Operation", cluster.get("operation_id")),
            ("Created", cluster["created_at"]),
            ("Updated", cluster["updated_at"]),
        ]
    )
    _print_capabilities(cluster)
    for condition in cluster.get("conditions") or ():
        node = f" on {condition['node']}" if condition.get("node") else ""
        print_lines([f"Condition: {condition['type']}{node} since {condition['since']}: {condition['message']}"])
    error = cluster.get("error")
    if error:
        _print_error(error)


def _options(cluster: Cluster) -> list[tuple[str, object]]:
    """Return what was chosen for the cluster, in the order of its subnets and registries."""
    options = cluster.get("options") or {}
    mirrors = options.get("registry_mirrors") or {}
    return [
        ("Pod network", options.get("network") if cluster["cluster_type"]["coe"] == "kubernetes" else None),
        ("Pods", options.get("pod_subnet")),
        ("Services", options.get("service_subnet")),
        *(("Mirror", f"{registry} from {url}") for registry, url in mirrors.items()),
        ("Insecure", ", ".join(options.get("insecure_registries") or ())),
        ("Only on", ", ".join(options.get("hosts") or ())),
        ("Not on", ", ".join(options.get("not_hosts") or ())),
    ]


def _published(publication: Publication) -> str:
    """Return where a published port is, and where it leads."""
    where = ", ".join(publication["addresses"]) or "nowhere yet"
    return f"{port_of(publication)} to port {publication['node_port']}: {where}"


def _print_capabilities(cluster: Cluster) -> None:
    """Write what the cluster was seen to do or not to do, and when."""
    for capability in cluster.get("capabilities") or ():
        seen = "works" if capability["works"] else "does not work"
        detail = f": {capability['detail']}" if capability["detail"] else ""
        print_lines([f"Capability: {capability['name']} {seen}, verified {capability['verified_at']}{detail}"])


def _print_error(error: Problem) -> None:
    """Write what went wrong with the cluster, and what helps."""
    print_lines([f"Error: {error.get('title')} ({error.get('code')})"])
    print_lines(f"  {line}" for line in error.get("detail", "").splitlines())
    if error.get("remedy"):
        print_lines([f"  What to do: {error['remedy']}"])
