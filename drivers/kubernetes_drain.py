"""Moves pods off a node that is to go: cordon, evict, wait within a bound, and say what had no other home. Blocks.

Evictions respect PodDisruptionBudgets (https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/).
"""

import time
from collections.abc import Iterator, Sequence

from domain.nodes import Member
from drivers.kubernetes_client import NOT_FOUND, Api, Object, Objects, Refused
from drivers.kubernetes_files import node_name
from drivers.kubernetes_membership import NODES, is_ready, pod_path, pods_on

_BOUND_S = 30.0
_RETRY_S = 0.05
_TOO_MANY = 429  # a budget does not allow it now
_ENDED = frozenset({"Succeeded", "Failed"})
_STATIC = "kubernetes.io/config.mirror"
_NAMESPACES = "/api/v1/namespaces"


def drain(api: Api, node: Member) -> Sequence[str]:
    """Evict the node's pods; return a sentence for each that does not come back elsewhere as it was.

    What is still there after the bound goes with the node. On a node that is dead nobody can stop pods: there they are
    only told to.
    """
    found = api.find(f"{NODES}/{node_name(node.name)}")
    if found is None:
        return ()
    _cordon(api, node, unschedulable=True)
    ending = {item["metadata"]["name"] for item in api.items(_NAMESPACES) if _is_ending(item)}
    pods = [pod for pod in pods_on(api, node) if _is_to_move(pod) and pod["metadata"]["namespace"] not in ending]
    notes = [note for pod in pods if not _is_ending(pod) for note in _losses(api, pod)]
    deadline = time.monotonic() + _BOUND_S
    kept = _evict_all(api, pods, deadline if is_ready(found) else time.monotonic())
    if is_ready(found):
        kept += _await_gone(api, node, {_id(pod) for pod in pods if _name(pod) not in kept}, deadline)
    notes += [f"Pod {name} was still on {node.name} after {_BOUND_S:.0f} s: it goes with the node." for name in kept]
    return notes


def undrain(api: Api, node: Member) -> None:
    """Let the node take pods again. What was moved away is not moved back."""
    try:
        _cordon(api, node, unschedulable=False)
    except Refused as error:
        if error.status != NOT_FOUND:
            raise


def _cordon(api: Api, node: Member, *, unschedulable: bool) -> None:
    api.patch(f"{NODES}/{node_name(node.name)}", {"spec": {"unschedulable": unschedulable or None}})


def _is_ending(item: Object) -> bool:
    """Whether an object is being deleted already. A namespace that is takes no evictions, and its pods with it."""
    return "deletionTimestamp" in item["metadata"]


def _is_to_move(pod: Object) -> bool:
    """Whether the pod is worth moving: a DaemonSet's would come back at once, a static one is the node's own."""
    metadata = pod["metadata"]
    owners = {owner["kind"] for owner in metadata.get("ownerReferences", ())}
    ended = pod["status"].get("phase") in _ENDED
    return "DaemonSet" not in owners and _STATIC not in metadata.get("annotations", {}) and not ended


def _losses(api: Api, pod: Object) -> Iterator[str]:
    if not any(owner.get("controller") for owner in pod["metadata"].get("ownerReferences", ())):
        yield f"Pod {_name(pod)} has no controller that makes it anew elsewhere: it was deleted."
    for volume in pod["spec"].get("volumes", ()):
        claim = volume.get("persistentVolumeClaim", {}).get("claimName")
        if "emptyDir" in volume and volume["emptyDir"].get("medium") != "Memory":
            yield f"Pod {_name(pod)} had files of its own in the volume {volume['name']}: they stay behind."
        elif "hostPath" in volume:
            yield f"Pod {_name(pod)} used the node's {volume['hostPath']['path']}: what is there stays behind."
        elif claim and _is_local(api, pod["metadata"]["namespace"], claim):
            yield f"Pod {_name(pod)} has its volume {claim} on this node alone: it can't start elsewhere."


def _is_local(api: Api, namespace: str, claim: str) -> bool:
    """Whether the volume behind a claim is tied to nodes."""
    found = api.find(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}")
    volume = found["spec"].get("volumeName") if found else None
    return bool(volume and api.get(f"/api/v1/persistentvolumes/{volume}")["spec"].get("nodeAffinity"))


def _evict_all(api: Api, pods: Sequence[Object], deadline: float) -> list[str]:
    """Evict the pods, again and again where a budget forbids it; return the names of those it never allowed.

    When a budget allows it is known to nobody but the API, and only when asked.
    """
    waiting = list(pods)
    while True:
        waiting = [pod for pod in waiting if not _evict(api, pod)]
        if not waiting or time.monotonic() > deadline:
            return [_name(pod) for pod in waiting]
        time.sleep(_RETRY_S)


def _evict(api: Api, pod: Object) -> bool:
    metadata = {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]}
    options = {"preconditions": {"uid": pod["metadata"]["uid"]}}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata, "deleteOptions": options}
    try:
        api.create(f"{pod_path(pod)}/eviction", eviction)
    except Refused as error:
        if error.status == _TOO_MANY:
            return False
        if error.status not in (NOT_FOUND, 409):
            raise
    return True


def _await_gone(api: Api, node: Member, going: set[str], deadline: float) -> list[str]:
    """Wait for the pods with these ids to be gone from the node; return the names of those that are not in time."""

    def gone(objects: Objects) -> bool:
        return not any(_id(pod) in going for pod in objects.values())

    selector = f"spec.nodeName={node_name(node.name)}"
    _, objects = api.until("/api/v1/pods", gone, max(deadline - time.monotonic(), 0), fieldSelector=selector)
    return [_name(pod) for pod in objects.values() if _id(pod) in going]


def _id(pod: Object) -> str:
    return str(pod["metadata"]["uid"])


def _name(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
