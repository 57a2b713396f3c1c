"""Operations: changes to a cluster or a host, and the steps that they are made of."""

from collections.abc import Mapping
from enum import StrEnum


class OperationKind(StrEnum):
    """What an operation does."""

    CREATE = "create"
    GROW = "grow"
    SHRINK = "shrink"
    DELETE = "delete"
    ADD_OVERLAY = "add-overlay"
    REMOVE_OVERLAY = "remove-overlay"
    LOAD_IMAGE = "load-image"
    HEAL = "heal"
    MOVE = "move"  # nodes go to other hosts: new ones in, old ones out
    PUBLISH = "publish"
    UNPUBLISH = "unpublish"
    PREPARE_HOST = "prepare-host"
    DRAIN_HOST = "drain-host"
    REMOVE_HOST = "remove-host"


class OperationState(StrEnum):
    """Where an operation is in its life."""

    PENDING = "pending"  # accepted and stored; its workflow has not begun
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN_STATES = frozenset({OperationState.PENDING, OperationState.RUNNING, OperationState.CANCELLING})
LOCKING_STATES = frozenset({OperationState.PENDING, OperationState.RUNNING})
"""A cluster has at most one operation in one of these: that is what 'busy' means."""


class StepState(StrEnum):
    """Where one attempt of a step is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"  # the process that ran it went away; another attempt follows


STEP_TITLES: Mapping[str, str] = {
    "begin_operation": "Begin",
    "reserve_nodes": "Reserve addresses and places",
    "operation_nodes": "List what was reserved",
    "cluster_nodes": "List the nodes",
    "stopped_nodes": "List the nodes that have stopped",
    "stopped_members": "List the nodes that have stopped",
    "overlay_names": "List the overlay networks",
    "choose_removals": "Choose the nodes to remove",
    "mark_nodes_leftover": "Leave the rest to the sweep",
    "forget_overlay": "Forget the overlay network",
    "release_nodes": "Release addresses and places",
    "ensure_authority": "Make the certificate authority",
    "ensure_segment": "Make the cluster's network",
    "settle_segment": "Bring the cluster's network in line",
    "settle_host": "Bring the host's networks in line",
    "remove_segment": "Remove the cluster's network",
    "probe_segment": "Check that the cluster's hosts reach each other",
    "ensure_publications": "Publish ports that lead to the nodes",
    "settle_publications": "Bring published ports in line",
    "host_publications": "Publish the host's ports",
    "forget_publication": "Forget the published port",
    "choose_moves": "Choose the nodes to move",
    "admit_nodes": "Count the new nodes",
    "ensure_node": "Start the node",
    "remove_node": "Remove the node",
    "ensure_images": "Make sure of the node image",
    "load_image": "Load the image on the node",
    "load_images": "Load the cluster's images on the node",
    "form_cluster": "Form the cluster",
    "await_members": "Wait for the cluster's nodes",
    "join_node": "Join the node",
    "drain_node": "Drain the node",
    "undrain_node": "Let the node take work again",
    "leave_node": "Take the node out of the cluster",
    "ensure_overlay": "Make the overlay network",
    "verify_overlay": "Check that containers reach each other",
    "remove_overlay": "Remove the overlay network",
    "discard_secrets": "Discard the keys",
    "discard_images": "Discard the container images' archives",
    "collect_images": "Remove old node images",
    "complete_operation": "Record the result",
    "fail_operation": "Record the failure",
    "measure_host": "Measure the host",
    "clear_host": "Clear the host of former nodes",
    "ensure_host": "Prepare the host",
    "ensure_image": "Build the node image",
    "guard_hosts": "Guard hosts from nodes",
    "move_nodes": "Move clusters' nodes to other hosts",
    "remove_leftovers": "Remove what is left of nodes",
    "check_empty": "Check that no node is left",
    "release_host": "Take all of Carina off the host",
    "forget_host": "Forget the host",
    "host_clusters": "List the clusters on the host",
    "ready_host": "Open the host for nodes",
    "list_hosts": "List the hosts",
    "inspect_host": "Compare the host with the records",
    "remove_orphan": "Remove what has no record",
}
"""What a person reads for each activity, in the API, the CLI and the Temporal UI."""
