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


def test_a_host_is_prepared_under_its_own_workflow_id() -> None:
    start = start_of(
        replace(
            OPERATION,
            kind=OperationKind.PREPARE_HOST,
            params={},
            cluster_id=None,
            cluster_name=None,
            host_id="h-1",
            workflow_id="host-h-1",
        )
    )
    assert (start.workflow, start.workflow_id) == ("PrepareHost", "host-h-1")
    assert start.input == names.PrepareHostInput("op-1", "h-1", "h-1")


def test_every_kind_of_operation_has_a_workflow() -> None:
    params = {"node_count": 1, "retain": False, "add": 1, "remove": 1, "overlay": "back", "digest": "sha256:0"}
    started = {start_of(replace(OPERATION, kind=kind, params=params, host_id="h")).workflow for kind in OperationKind}
    assert started == {
        "CreateCluster",
        "GrowCluster",
        "ShrinkCluster",
        "DeleteCluster",
        "ConfigureOverlay",
        "LoadImage",
        "HealCluster",
        "PrepareHost",
    }


def test_a_count_that_is_no_number_is_never_started() -> None:
    with pytest.raises(TypeError, match="op-1"):
        start_of(replace(OPERATION, params={"node_count": "3"}))
