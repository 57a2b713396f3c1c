"""Which workflow an operation is started as, with which input and in which words. Pure."""

from dataclasses import dataclass

from domain.operations import OperationKind
from domain.overlays import DEFAULT_OVERLAY
from store.views import OperationView
from workflows import names

_HOST_KINDS = frozenset({OperationKind.PREPARE_HOST, OperationKind.DRAIN_HOST, OperationKind.REMOVE_HOST})
_SHOWN_OF_DIGEST = len("sha256:") + 12


@dataclass(frozen=True, slots=True)
class Start:
    """All that starting an operation's workflow takes. `summary` and `details` are shown in the Temporal UI."""

    workflow: str
    workflow_id: str
    input: names.ClusterChange | names.PrepareHostInput | names.DrainHostInput | names.RemoveHostInput
    summary: str
    details: str


def start_of(operation: OperationView) -> Start:
    """Return how the operation's workflow is started. Needs nothing but the operation's row."""
    return _host_start(operation) if operation.kind in _HOST_KINDS else _cluster_start(operation)


def _cluster_start(operation: OperationView) -> Start:
    cluster_id = operation.cluster_id or ""
    name = operation.cluster_name or cluster_id
    base = (operation.id, cluster_id, name, operation.tenant_id)
    workflow: str
    change: names.ClusterChange
    match operation.kind:
        case OperationKind.CREATE:
            count = _number(operation, "node_count")
            workflow = names.CREATE_CLUSTER
            change = names.CreateClusterInput(
                *base,
                node_count=count,
                retain=operation.params.get("retain") is True,
                overlay=str(operation.params.get("overlay", DEFAULT_OVERLAY)),
            )
            summary = f"Create cluster {name} with {_nodes(count)}"
        case OperationKind.GROW:
            count = _number(operation, "add")
            workflow, change = names.GROW_CLUSTER, names.GrowClusterInput(*base, add=count)
            summary = f"Grow cluster {name} by {_nodes(count)}"
        case OperationKind.SHRINK:
            count = _number(operation, "remove")
            workflow, change = names.SHRINK_CLUSTER, names.ShrinkClusterInput(*base, remove=count)
            summary = f"Shrink cluster {name} by {_nodes(count)}"
        case OperationKind.ADD_OVERLAY:
            overlay = str(operation.params["overlay"])
            workflow, change = names.CONFIGURE_OVERLAY, names.ConfigureOverlayInput(*base, overlay=overlay)
            summary = f"Make overlay network {overlay} of cluster {name}"
        case OperationKind.REMOVE_OVERLAY:
            overlay = str(operation.params["overlay"])
            change = names.ConfigureOverlayInput(*base, overlay=overlay, remove=True)
            workflow = names.CONFIGURE_OVERLAY
            summary = f"Remove overlay network {overlay} of cluster {name}"
        case OperationKind.LOAD_IMAGE:
            digest = str(operation.params["digest"])
            workflow, change = names.LOAD_IMAGE, names.LoadImageInput(*base, digest=digest)
            summary = f"Load image {digest[:_SHOWN_OF_DIGEST]} into cluster {name}"
        case OperationKind.HEAL:
            workflow, change = names.HEAL_CLUSTER, names.HealClusterInput(*base)
            summary = f"Start the stopped nodes of cluster {name}"
        case OperationKind.MOVE:
            change = names.MoveNodesInput(
                *base, host_id=str(operation.params["host_id"]), dead=operation.params.get("dead") is True
            )
            workflow, summary = names.MOVE_NODES, f"Move nodes of cluster {name} to other hosts"
        case OperationKind.PUBLISH | OperationKind.UNPUBLISH:
            verb = "Publish" if operation.kind is OperationKind.PUBLISH else "Withdraw"
            withdraw = operation.kind is OperationKind.UNPUBLISH
            workflow, change = names.PUBLISH_PORTS, names.PublishPortsInput(*base, withdraw=withdraw)
            summary = f"{verb} port {operation.params['host_port']}/{operation.params['protocol']} of cluster {name}"
        case _:
            workflow, change = names.DELETE_CLUSTER, names.DeleteClusterInput(*base)
            summary = f"Delete cluster {name}"
    details = (
        f"{summary}.\n\n- cluster: `{cluster_id}`\n- operation: `{operation.id}`\n- tenant: `{operation.tenant_id}`"
    )
    return Start(workflow, names.cluster_workflow_id(cluster_id), change, summary, details)


def _host_start(operation: OperationView) -> Start:
    host_id = operation.host_id or str(operation.params.get("host_id", ""))
    name = str(operation.params.get("host_name", host_id))
    base = (operation.id, host_id, name)
    workflow: str
    change: names.PrepareHostInput | names.DrainHostInput | names.RemoveHostInput
    match operation.kind:
        case OperationKind.DRAIN_HOST:
            workflow, change, verb = names.DRAIN_HOST, names.DrainHostInput(*base), "Drain"
        case OperationKind.REMOVE_HOST:
            force = operation.params.get("force") is True
            workflow, change, verb = names.REMOVE_HOST, names.RemoveHostInput(*base, force=force), "Remove"
        case _:
            workflow, change, verb = names.PREPARE_HOST, names.PrepareHostInput(*base), "Prepare"
    summary = f"{verb} host {name}"
    details = f"{summary}.\n\n- host: `{host_id}`\n- operation: `{operation.id}`"
    return Start(workflow, operation.workflow_id, change, summary, details)


def _number(operation: OperationView, param: str) -> int:
    value = operation.params[param]
    if not isinstance(value, int):
        raise TypeError(f"Operation {operation.id}: parameter {param} is no number.")
    return value


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"
