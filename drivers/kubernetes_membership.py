"""Membership of nodes in a Kubernetes cluster: when it is formed, who has joined and who is well.

All functions block. Nodes register themselves, with what was written into them before their first start; what is left
to do is to wait for that, and to say who is who. Each looks first at what there is, so that it can be called again.
"""

from collections.abc import Callable, Mapping, Sequence

from domain.errors import KubernetesFailed, OverlayFailed
from domain.nodes import Member, NodeRole
from domain.options import NETWORK_NONE
from drivers.kubernetes_addons import MARK, NAMESPACE
from drivers.kubernetes_client import NOT_FOUND, Api, Object, Objects, Refused
from drivers.kubernetes_files import node_name

NODES = "/api/v1/nodes"
NAME = "io.carina.name"
"""The annotation of a node with its name as Carina has it: Kubernetes writes names small."""
_MARKS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
_API_TIMEOUT_S = 90.0
_ADDONS_TIMEOUT_S = 60.0
_NODE_TIMEOUT_S = 60.0
_ROLE = "node-role.kubernetes.io/"
_ROLES = {NodeRole.MANAGER: "control-plane", NodeRole.WORKER: "worker"}


def form(api: Api, manager: Member) -> None:
    """Return once the API is ready, the add-ons are there and the first node is Ready."""
    said = api.await_ready(_API_TIMEOUT_S)
    if said:
        raise KubernetesFailed(f"The API of {manager.name} was not ready {_API_TIMEOUT_S:.0f} s later: {said}")
    _await_node(api, manager, _network(api, manager))


def join(api: Api, manager: Member, node: Member) -> None:
    """Return once `node` is Ready."""
    _await_node(api, node, _network(api, manager))


def leave(api: Api, node: Member) -> None:
    """Strike the node off, and its pods with it: nobody else would for a minute."""
    name = node_name(node.name)
    api.delete(f"{NODES}/{name}")
    for pod in pods_on(api, node):
        api.delete(pod_path(pod), gracePeriodSeconds="0")


def health(api: Api) -> Mapping[str, bool]:
    """Return, by name, whether the cluster holds the node for ready."""
    return {_known_as(item): is_ready(item) for item in api.items(NODES)}


def await_ranges(api: Api) -> None:
    """Return once every node has its range of pods. Nodes that people joined by themselves are theirs to see to."""
    _await_each(api, _has_range, "had no range of pods")


def await_routes(api: Api) -> None:
    """Return once the pod network has reached every node, which it says of each by a condition."""
    _await_each(api, _is_spanned, "had not been reached by the pod network")


def some_ready(api: Api, count: int) -> Sequence[Member]:
    """Return up to `count` nodes that are ready, the control plane's first."""
    ready = [item for item in api.items(NODES) if is_ready(item) and _is_ours(item)]
    ready.sort(key=lambda item: not _is_control_plane(item))
    return [
        Member(
            item["metadata"]["uid"],
            _known_as(item),
            NodeRole.MANAGER if _is_control_plane(item) else NodeRole.WORKER,
            next(entry["address"] for entry in item["status"]["addresses"] if entry["type"] == "InternalIP"),
        )
        for item in ready[:count]
    ]


def has_network(api: Api) -> bool:
    """Whether the cluster was made with a pod network; False where people bring their own."""
    mark = api.get(f"{_MARKS}/{MARK}")
    return bool(mark["data"]["network"] != NETWORK_NONE)


def is_ready(node: Object) -> bool:
    """Whether a node's kubelet says that it is ready, and is heard of."""
    return condition(node, "Ready").get("status") == "True"


def condition(item: Object, kind: str) -> Mapping[str, str]:
    """Return a condition of a node or a pod; an empty one if it has none of that type."""
    found: Sequence[Mapping[str, str]] = item.get("status", {}).get("conditions", ())
    return next((entry for entry in found if entry["type"] == kind), {})


def pods_on(api: Api, node: Member) -> Sequence[Object]:
    """Return all pods that are bound to the node."""
    return api.items("/api/v1/pods", fieldSelector=f"spec.nodeName={node_name(node.name)}")


def pod_path(pod: Object) -> str:
    """Return where a pod is found."""
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _network(api: Api, manager: Member) -> bool:
    """Wait for the add-ons, the last of which says whether there is a pod network."""
    selector = f"metadata.name={MARK}"
    there, _ = api.until(_MARKS, bool, _ADDONS_TIMEOUT_S, fieldSelector=selector)
    if not there:
        raise KubernetesFailed(
            f"The add-ons were not applied on {manager.name} in {_ADDONS_TIMEOUT_S:.0f} s.",
            remedy="Create with ?retain=true and look at the journal of k8s-addons.service in the node.",
        )
    return has_network(api)


def _await_node(api: Api, node: Member, networked: bool) -> None:  # noqa: FBT001 - a fact passed on
    """Wait for the node to be Ready; without a pod network, which is for people to add, to be registered."""
    name = node_name(node.name)

    def there(objects: Objects) -> bool:
        return any(is_ready(item) or not networked for item in objects.values())

    met, objects = api.until(NODES, there, _NODE_TIMEOUT_S, fieldSelector=f"metadata.name={name}")
    if not met:
        raise KubernetesFailed(f"{node.name} was not ready in {_NODE_TIMEOUT_S:.0f} s: {_why(objects)}.")
    labels = {f"{_ROLE}{_ROLES[node.role]}": ""}
    try:
        api.patch(f"{NODES}/{name}", {"metadata": {"labels": labels, "annotations": {NAME: node.name}}})
    except Refused as error:
        if error.status != NOT_FOUND:
            raise
        raise KubernetesFailed(f"{node.name} was removed from the cluster while it joined.") from None


def _why(objects: Objects) -> str:
    for item in objects.values():
        ready = condition(item, "Ready")
        return ready.get("message") or ready.get("reason") or "its kubelet has not said how it is"
    return "its kubelet never registered it"


def _known_as(item: Object) -> str:
    metadata = item["metadata"]
    return str(metadata.get("annotations", {}).get(NAME, metadata["name"]))


def _await_each(api: Api, holds: Callable[[Object], bool], lack: str) -> None:
    """Wait until something holds of every node that is heard of."""

    def lacking(objects: Objects) -> list[str]:
        return [_known_as(item) for item in objects.values() if _is_ours(item) and _is_heard(item) and not holds(item)]

    met, objects = api.until(NODES, lambda objects: not lacking(objects), _NODE_TIMEOUT_S)
    if not met:
        raise OverlayFailed(
            f"These nodes {lack} {_NODE_TIMEOUT_S:.0f} s later: {', '.join(lacking(objects))}.",
            remedy="Look at the journals of flannel in the nodes named, and of kube-controller-manager.",
        )


def _has_range(item: Object) -> bool:
    return "podCIDR" in item["spec"]


def _is_spanned(item: Object) -> bool:
    return _has_range(item) and condition(item, "NetworkUnavailable").get("status") == "False"


def _is_heard(item: Object) -> bool:
    return condition(item, "Ready").get("status") != "Unknown"


def _is_ours(item: Object) -> bool:
    return NAME in item["metadata"].get("annotations", {})


def _is_control_plane(item: Object) -> bool:
    return f"{_ROLE}{_ROLES[NodeRole.MANAGER]}" in item["metadata"].get("labels", {})
