"""From rows to what readers get, and back for the parts that are kept as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from domain.clusters import COE_KUBERNETES, COE_SWARM, ClusterStatus, ClusterType, Condition, Health, Severity
from domain.errors import ErrorRecord
from domain.host_input import SSH_PORT
from domain.hosts import (
    Check,
    CheckState,
    Claim,
    Endpoint,
    Host,
    HostReport,
    HostState,
    Login,
    TunnelEnd,
    Unreachable,
)
from domain.images import ImageState
from domain.nodes import NodeRole, NodeState
from domain.operations import OperationKind, OperationState, StepState
from domain.options import ClusterOptions
from domain.overlays import Overlay, OverlayState
from domain.sizes import Size
from store.tables import ClusterRow, HostRow, ImageRow, NodeRow, OperationRow, OverlayRow, StepRow
from store.views import CapabilityView, ClusterView, ImageView, NodeView, OperationView, OverlayView, StepView

_APIS = {COE_SWARM: ("tcp", 2376), COE_KUBERNETES: ("https", 6443)}
"""Scheme and port of a node's native API, by orchestrator."""


def error_to_json(error: ErrorRecord | None) -> dict[str, Any] | None:
    """Return what is stored of an error."""
    return None if error is None else asdict(error)


def error_from_json(stored: dict[str, Any] | None) -> ErrorRecord | None:
    """Return the error that was stored."""
    return None if stored is None else ErrorRecord(**stored)


def conditions_to_json(conditions: Sequence[Condition]) -> list[dict[str, Any]]:
    """Return what is stored of a cluster's conditions."""
    return [asdict(condition) for condition in conditions]


def conditions_from_json(stored: Sequence[dict[str, Any]]) -> tuple[Condition, ...]:
    """Return the conditions that were stored."""
    return tuple(
        Condition(**{**condition, "severity": Severity(condition.get("severity", Severity.FAULT))})
        for condition in stored
    )


def size_from_json(stored: dict[str, Any] | None) -> Size:
    """Return the size that was stored, none at all if there is none."""
    return Size(**(stored or {}))


def type_from_json(stored: dict[str, Any]) -> ClusterType:
    """Return the cluster type that was stored."""
    size, requires = size_from_json(stored.get("size")), tuple(stored.get("requires", ()))
    return ClusterType(**{**stored, "size": size, "requires": requires})


def options_from_json(stored: dict[str, Any]) -> ClusterOptions:
    """Return the options that were stored: JSON has lists for tuples."""
    mirrors = tuple((registry, url) for registry, url in stored["registry_mirrors"])
    lists = {name: tuple(stored.get(name, ())) for name in ("insecure_registries", "hosts", "not_hosts")}
    return ClusterOptions(**{**stored, **lists, "registry_mirrors": mirrors})


def capability_from_json(stored: dict[str, Any]) -> CapabilityView:
    """Return what was stored of something that a cluster was found to do."""
    return CapabilityView(**{**stored, "verified_at": datetime.fromisoformat(stored["verified_at"])})


def report_to_json(report: HostReport) -> dict[str, Any]:
    """Return what is stored of what was measured of a host."""
    return {
        "checks": [asdict(check) for check in report.checks],
        "capabilities": sorted(report.capabilities),
        "mtu": report.mtu,
        "cgroup_version": report.cgroup_version,
        "total": asdict(report.total),
        "free": asdict(report.free),
        "address": report.address,
        "addresses": list(report.addresses),
        "tunnel": None if report.tunnel is None else asdict(report.tunnel),
    }


def report_from_json(stored: dict[str, Any]) -> HostReport:
    """Return the report that was stored."""
    return HostReport(
        checks=tuple(Check(**{**check, "state": CheckState(check["state"])}) for check in stored["checks"]),
        capabilities=frozenset(stored["capabilities"]),
        mtu=stored["mtu"],
        cgroup_version=stored["cgroup_version"],
        total=size_from_json(stored.get("total")),
        free=size_from_json(stored.get("free")),
        address=stored.get("address", ""),
        addresses=tuple(stored.get("addresses", ())),
        tunnel=_tunnel(stored),
    )


def _tunnel(report: dict[str, Any]) -> TunnelEnd | None:
    end = report.get("tunnel")
    return None if end is None else TunnelEnd(**end)


def unreachable_from_json(stored: dict[str, Any] | None) -> Unreachable | None:
    """Return what was stored of a host that does not answer; None is stored of one that does."""
    return None if stored is None else Unreachable(datetime.fromisoformat(stored["since"]), stored["reason"])


def stored_address(address: str, port: int) -> str:
    """Return what a host's row has as its address: one machine may have several SSH ports, as in known_hosts(5)."""
    return address if port == SSH_PORT else f"[{address}]:{port}"


def host_from_row(row: HostRow) -> Host:
    """Return the host that a row describes."""
    return Host(
        id=row.id,
        name=row.name,
        address=row.address.rpartition("]:")[0].removeprefix("[") or row.address,
        root=row.root,
        state=HostState(row.state),
        claim=None if row.claim is None else Claim(**row.claim),
        mtu=row.mtu,
        image=row.image,
        capabilities=frozenset(row.capabilities),
        login=Login(**row.login),
        zone=row.zone,
        cordoned=row.cordoned,
        endpoint=Endpoint(row.endpoint),
        fabric_address=row.fabric_address,
        device=row.device,
        size=size_from_json(row.size),
        fabric_address_given=row.fabric_address_given,
        addresses=tuple((row.report or {}).get("addresses", ())),
        tunnel=_tunnel(row.report or {}),
    )


def overlay_from_row(row: OverlayRow) -> Overlay:
    """Return the overlay network that a row describes."""
    return Overlay(
        row.name,
        row.subnet or "",
        row.mtu,
        attachable=row.attachable,
        encrypted=row.encrypted,
        services=tuple(row.services),
    )


def cluster_view(row: ClusterRow, *, operation_id: str | None, endpoint: str | None) -> ClusterView:
    """Return the view of a cluster. What changes it now, and its endpoint, are other rows' to say."""
    return ClusterView(
        id=row.id,
        tenant_id=row.tenant_id,
        name=row.name,
        type=type_from_json(row.type),
        options=options_from_json(row.options),
        status=ClusterStatus(row.status),
        health=Health(row.health),
        conditions=conditions_from_json(row.conditions),
        capabilities=tuple(capability_from_json(capability) for capability in row.capabilities),
        node_count=row.node_count,
        subnet=row.subnet,
        endpoint=endpoint,
        error=error_from_json(row.error),
        operation_id=operation_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def node_endpoint(coe: str, node: NodeRow, host: HostRow) -> str | None:
    """Return where a node's native API is reached, as a URL; None if it has none, as a Kubernetes worker."""
    if coe == COE_KUBERNETES and node.role != NodeRole.MANAGER:
        return None
    scheme, port = _APIS[coe]
    if node.api_port is None:
        return f"{scheme}://{node.address}:{port}"
    return f"{scheme}://{host_from_row(host).public_address}:{node.api_port}"


def node_view(row: NodeRow, host: HostRow, coe: str) -> NodeView:
    """Return the view of a node of such a cluster on that host."""
    return NodeView(
        id=row.id,
        name=row.name,
        role=NodeRole(row.role),
        state=NodeState(row.state),
        address=row.address,
        host=host.name,
        container=row.container,
        endpoint=node_endpoint(coe, row, host),
        created_at=row.created_at,
    )


def overlay_view(row: OverlayRow) -> OverlayView:
    """Return the view of an overlay network."""
    return OverlayView(
        name=row.name,
        subnet=row.subnet,
        mtu=row.mtu,
        attachable=row.attachable,
        encrypted=row.encrypted,
        services=tuple(row.services),
        state=OverlayState(row.state),
        error=error_from_json(row.error),
        verified_at=row.verified_at,
        created_at=row.created_at,
    )


def image_view(row: ImageRow) -> ImageView:
    """Return the view of an archive of container images."""
    return ImageView(
        digest=row.digest,
        names=tuple(row.names),
        size_bytes=row.size_bytes,
        state=ImageState(row.state),
        error=error_from_json(row.error),
        created_at=row.created_at,
    )


def step_view(row: StepRow) -> StepView:
    """Return the view of an attempt of a step."""
    return StepView(
        name=row.name,
        node=row.node,
        host=row.host,
        attempt=row.attempt,
        state=StepState(row.state),
        error=error_from_json(row.error),
        note=row.note,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )


def operation_view(row: OperationRow, steps: Sequence[StepRow] = ()) -> OperationView:
    """Return the view of an operation."""
    return OperationView(
        id=row.id,
        tenant_id=row.tenant_id,
        kind=OperationKind(row.kind),
        state=OperationState(row.state),
        cluster_id=row.cluster_id,
        cluster_name=row.cluster_name,
        host_id=row.host_id,
        params=dict(row.params),
        error=error_from_json(row.error),
        workflow_id=row.workflow_id,
        run_id=row.run_id,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        steps=tuple(step_view(step) for step in steps),
    )
