from dataclasses import replace
from datetime import UTC, datetime

import pytest

from api.starts import start_of
from domain.operations import OperationKind, OperationState
from store.views import OperationView
from workflows import names

BASE = ("op-1", "c-1", "demo", "admin")
OPERATION = OperationView(
    id="op-1",
    tenant_id="admin",
    kind=OperationKind.CREATE,
    state=OperationState.PENDING,
    cluster_id="c-1",
    cluster_name="demo",
    host_id=None,
    params={"node_count": 3, "retain": True},
    error=None,
    workflow_id="cluster-c-1",
    run_id=None,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    started_at=None,
    ended_at=None,
)


@pytest.mark.parametrize(
    ("kind", "params", "workflow", "change", "summary"),
    [
        (
            OperationKind.CREATE,
            {"node_count": 3, "retain": True, "overlay": "carina"},
            "CreateCluster",
            names.CreateClusterInput(*BASE, node_count=3, retain=True, overlay="carina"),
            "Create cluster demo with 3 nodes",
        ),
        (
            OperationKind.CREATE,
            {"node_count": 1, "retain": False, "overlay": ""},
            "CreateCluster",
            names.CreateClusterInput(*BASE, node_count=1, retain=False, overlay=""),
            "Create cluster demo with 1 node",
        ),
        (
            OperationKind.CREATE,  # accepted by an earlier version
            {"node_count": 1, "retain": False},
            "CreateCluster",
            names.CreateClusterInput(*BASE, node_count=1, retain=False, overlay="carina"),
            "Create cluster demo with 1 node",
        ),
        (
            OperationKind.LOAD_IMAGE,
            {"digest": f"sha256:{'ab' * 32}"},
            "LoadImage",
            names.LoadImageInput(*BASE, digest=f"sha256:{'ab' * 32}"),
            "Load image sha256:abababababab into cluster demo",
        ),
        (
            OperationKind.HEAL,
            {},
            "HealCluster",
            names.HealClusterInput(*BASE),
            "Start the stopped nodes of cluster demo",
        ),
        (
            OperationKind.GROW,
            {"add": 1},
            "GrowCluster",
            names.GrowClusterInput(*BASE, add=1),
            "Grow cluster demo by 1 node",
        ),
        (
            OperationKind.SHRINK,
            {"remove": 2},
            "ShrinkCluster",
            names.ShrinkClusterInput(*BASE, remove=2),
            "Shrink cluster demo by 2 nodes",
        ),
        (
            OperationKind.MOVE,
            {"host_id": "h-1", "dead": True, "part_of": "op-0"},
            "MoveNodes",
            names.MoveNodesInput(*BASE, host_id="h-1", dead=True),
            "Move nodes of cluster demo to other hosts",
        ),
        (
            OperationKind.PUBLISH,
            {"host_port": 80, "node_port": 30080, "protocol": "tcp"},
            "PublishPorts",
            names.PublishPortsInput(*BASE),
            "Publish port 80/tcp of cluster demo",
        ),
        (
            OperationKind.UNPUBLISH,
            {"host_port": 53, "node_port": 30053, "protocol": "udp"},
            "PublishPorts",
            names.PublishPortsInput(*BASE, withdraw=True),
            "Withdraw port 53/udp of cluster demo",
        ),
        (OperationKind.DELETE, {}, "DeleteCluster", names.DeleteClusterInput(*BASE), "Delete cluster demo"),
        (
            OperationKind.ADD_OVERLAY,
            {"overlay": "back"},
            "ConfigureOverlay",
            names.ConfigureOverlayInput(*BASE, overlay="back"),
            "Make overlay network back of cluster demo",
        ),
        (
            OperationKind.REMOVE_OVERLAY,
            {"overlay": "back"},
            "ConfigureOverlay",
            names.ConfigureOverlayInput(*BASE, overlay="back", remove=True),
            "Remove overlay network back of cluster demo",
        ),
    ],
)
def test_a_change_to_a_cluster_is_started_under_the_clusters_own_workflow_id(
    kind: OperationKind, params: dict[str, object], workflow: str, change: names.ClusterChange, summary: str
) -> None:
    start = start_of(replace(OPERATION, kind=kind, params=params))
    assert (start.workflow, start.workflow_id, start.input, start.summary) == (
        workflow,
        "cluster-c-1",
        change,
        summary,
    )
    assert "op-1" in start.details


@pytest.mark.parametrize(
    ("kind", "params", "workflow", "change", "summary"),
    [
        (
            OperationKind.PREPARE_HOST,
            {},
            "PrepareHost",
            names.PrepareHostInput("op-1", "h-1", "h-1"),
            "Prepare host h-1",
        ),
        (
            OperationKind.DRAIN_HOST,
            {"host_name": "rack1"},
            "DrainHost",
            names.DrainHostInput("op-1", "h-1", "rack1"),
            "Drain host rack1",
        ),
        (
            OperationKind.REMOVE_HOST,
            {"host_name": "rack1", "force": True},
            "RemoveHost",
            names.RemoveHostInput("op-1", "h-1", "rack1", force=True),
            "Remove host rack1",
        ),
    ],
)
def test_a_change_to_a_host_is_started_under_the_hosts_own_workflow_id(
    kind: OperationKind, params: dict[str, object], workflow: str, change: object, summary: str
) -> None:
    start = start_of(_on_host(kind, params))
    assert (start.workflow, start.workflow_id, start.input, start.summary) == (workflow, "host-h-1", change, summary)
    assert "op-1" in start.details


def test_the_workflow_of_a_host_that_is_forgotten_is_still_found() -> None:
    operation = replace(_on_host(OperationKind.REMOVE_HOST, {"host_name": "rack1"}), host_id=None)
    assert start_of(operation).workflow_id == "host-h-1"


def _on_host(kind: OperationKind, params: dict[str, object]) -> OperationView:
    return replace(
        OPERATION,
        kind=kind,
        params=params,
        cluster_id=None,
        cluster_name=None,
        host_id="h-1",
        workflow_id="host-h-1",
    )


def test_every_kind_of_operation_has_a_workflow() -> None:
    params = {
        "node_count": 1,
        "retain": False,
        "add": 1,
        "remove": 1,
        "overlay": "back",
        "digest": "sha256:0",
        "host_id": "h",
        "host_port": 80,
        "protocol": "tcp",
    }
    started = {start_of(replace(OPERATION, kind=kind, params=params, host_id="h")).workflow for kind in OperationKind}
    assert started == {
        "CreateCluster",
        "GrowCluster",
        "ShrinkCluster",
        "DeleteCluster",
        "ConfigureOverlay",
        "LoadImage",
        "HealCluster",
        "MoveNodes",
        "PublishPorts",
        "PrepareHost",
        "DrainHost",
        "RemoveHost",
    }


def test_a_count_that_is_no_number_is_never_started() -> None:
    with pytest.raises(TypeError, match="op-1"):
        start_of(replace(OPERATION, params={"node_count": "3"}))
