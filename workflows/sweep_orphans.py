"""SweepOrphans: what carries our stamp and has no row goes."""

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from activities.inputs import HostStep, InspectStep, Orphan, OrphanStep
    from activities.maintenance import MaintenanceActivities
    from workflows.names import (
        SWEEP_CLUSTER,
        SWEEP_ORPHANS,
        SweepClusterInput,
        SweepOrphansInput,
        cluster_workflow_id,
    )
    from workflows.policies import INSPECT, RECORD, REMOVE, StepPolicy
    from workflows.undo import in_parallel


async def _run(activity: Any, policy: StepPolicy, *args: object, summary: str) -> Any:
    return await workflow.execute_activity_method(
        activity,
        args=list(args),
        start_to_close_timeout=policy.attempt,
        schedule_to_close_timeout=policy.all_attempts,
        heartbeat_timeout=policy.heartbeat,
        retry_policy=policy.retry,
        summary=summary,
    )


@workflow.defn(name=SWEEP_CLUSTER)
class SweepCluster:
    """Removes a cluster's orphans from one host. It runs under the cluster's own id: a busy one is not swept."""

    @workflow.run
    async def run(self, change: SweepClusterInput) -> None:
        """Remove containers at once, then bridges."""
        await in_parallel(
            *(self._remove(change, Orphan(change.cluster_id, container=name)) for name in change.containers)
        )
        await in_parallel(*(self._remove(change, Orphan(change.cluster_id, bridge=name)) for name in change.bridges))

    async def _remove(self, change: SweepClusterInput, orphan: Orphan) -> None:
        step = OrphanStep("", change.host_id, change.host_name, orphan)
        await _run(
            MaintenanceActivities.remove_orphan, REMOVE, step, summary=f"Remove {orphan.container or orphan.bridge}"
        )


@workflow.defn(name=SWEEP_ORPHANS)
class SweepOrphans:
    """Compares every ready host with the records. A host that can't be looked at does not keep others from it."""

    @workflow.run
    async def run(self, sweep: SweepOrphansInput) -> None:
        """Look at all hosts at once, and sweep what each one has to spare."""
        hosts = await _run(MaintenanceActivities.list_hosts, RECORD, summary="List the hosts")
        await in_parallel(*(self._host(host, sweep.grace_s) for host in hosts))

    async def _host(self, host: HostStep, grace_s: int) -> None:
        step = InspectStep("", host.host_id, host.host, grace_s)
        orphans = await _run(MaintenanceActivities.inspect_host, INSPECT, step, summary=f"Inspect {host.host}")
        by_cluster: dict[str, SweepClusterInput] = defaultdict(lambda: SweepClusterInput("", "", "", [], []))
        for orphan in orphans:
            known = by_cluster[orphan.cluster_id]
            by_cluster[orphan.cluster_id] = replace(
                known,
                cluster_id=orphan.cluster_id,
                host_id=host.host_id,
                host_name=host.host,
                containers=[*known.containers, *([orphan.container] if orphan.container else [])],
                bridges=[*known.bridges, *([orphan.bridge] if orphan.bridge else [])],
            )
        await in_parallel(*(self._cluster(change) for change in by_cluster.values()))

    async def _cluster(self, change: SweepClusterInput) -> None:
        try:
            await workflow.execute_child_workflow(
                SweepCluster.run,
                change,
                id=cluster_workflow_id(change.cluster_id),
                execution_timeout=timedelta(minutes=15),
                static_summary=f"Sweep what {change.cluster_id} left on {change.host_name}",
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info("busy, left to the next sweep: %s", change.cluster_id)
