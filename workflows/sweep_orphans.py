"""SweepOrphans: what carries our stamp and has no row goes, and hosts' networks are brought in line with the rows.

Node images that nobody will ask for again go too. A host that does not answer is left out, and that is the workflow's
result: the next sweep looks at it again. So what a change could not do on a host that was away is done when the host
has come back.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from activities.fabric import FabricActivities
    from activities.failures import record_of
    from activities.hosts import HostActivities
    from activities.images import ImageActivities
    from activities.inputs import HostStep, InspectStep, Orphan, OrphanStep
    from activities.maintenance import MaintenanceActivities
    from activities.publications import PublicationActivities
    from domain.errors import HostUnreachable
    from workflows.names import (
        SWEEP_CLUSTER,
        SWEEP_ORPHANS,
        HostOrphans,
        SweepClusterInput,
        SweepOrphansInput,
        cluster_workflow_id,
    )
    from workflows.policies import LOOK, RECORD, REMOVE, StepPolicy
    from workflows.undo import each

_EVERY_HOST = HostStep("", "", "")


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
    """Removes a cluster's orphans from hosts. It runs under the cluster's own id: a busy one is not swept."""

    @workflow.run
    async def run(self, change: SweepClusterInput) -> None:
        """Remove containers, then bridges, on all hosts at once. What one host keeps is no other's trouble."""
        failures = await each(*(self._host(change.cluster_id, host) for host in change.hosts))
        if failures:
            raise failures[0]

    async def _host(self, cluster_id: str, host: HostOrphans) -> None:
        containers = [Orphan(cluster_id, container=name) for name in host.containers]
        bridges = [Orphan(cluster_id, bridge=name) for name in host.bridges]
        failures: list[BaseException] = []
        for orphans in (containers, bridges):
            failures += await each(*(self._remove(host, orphan) for orphan in orphans))
        if failures:
            raise failures[0]

    async def _remove(self, host: HostOrphans, orphan: Orphan) -> None:
        step = OrphanStep("", host.host_id, host.host_name, orphan)
        summary = f"Remove {orphan.container or orphan.bridge} from {host.host_name}"
        await _run(MaintenanceActivities.remove_orphan, REMOVE, step, summary=summary)


@workflow.defn(name=SWEEP_ORPHANS)
class SweepOrphans:
    """Compares every ready host with the records. A host that can't be looked at does not keep others from it."""

    def __init__(self) -> None:
        self._orphans: dict[str, list[HostOrphans]] = defaultdict(list)
        self._left_out: list[str] = []

    @workflow.run
    async def run(self, sweep: SweepOrphansInput) -> list[str]:
        """Look at all hosts at once, sweep what they have to spare, and return which did not answer, and why."""
        hosts: list[HostStep] = await _run(MaintenanceActivities.list_hosts, RECORD, summary="List the hosts")
        failures = await each(*(self._look(host, sweep.grace_s) for host in hosts))
        failures += await each(
            *(self._cluster(cluster_id, found) for cluster_id, found in sorted(self._orphans.items())),
            _run(HostActivities.guard_hosts, LOOK, _EVERY_HOST, summary="Guard hosts from nodes"),
        )
        workflow.set_current_details("\n".join(f"- {line}" for line in self._left_out))
        if failures:
            raise failures[0]
        return self._left_out

    async def _look(self, host: HostStep, grace_s: int) -> None:
        """Find what one host has to spare, and bring its networks in line."""
        step = InspectStep("", host.host_id, host.host, grace_s)
        try:
            orphans = await _run(MaintenanceActivities.inspect_host, LOOK, step, summary=f"Inspect {host.host}")
            self._note(host, orphans)
            await _run(FabricActivities.settle_host, LOOK, host, summary=f"Bring networks of {host.host} in line")
            await _run(PublicationActivities.host_publications, LOOK, host, summary=f"Publish ports of {host.host}")
            await _run(ImageActivities.collect_images, LOOK, host, summary=f"Remove old node images of {host.host}")
        except BaseException as error:
            record = record_of(error)
            if record.code != HostUnreachable.code:
                raise
            self._left_out.append(f"{host.host}: {record.detail}")

    def _note(self, host: HostStep, orphans: list[Orphan]) -> None:
        by_cluster: Mapping[str, HostOrphans] = {
            cluster_id: HostOrphans(host.host_id, host.host, [], [])
            for cluster_id in sorted({orphan.cluster_id for orphan in orphans})
        }
        for orphan in orphans:
            found = by_cluster[orphan.cluster_id]
            found.containers.extend([orphan.container] if orphan.container else [])
            found.bridges.extend([orphan.bridge] if orphan.bridge else [])
        for cluster_id, found in by_cluster.items():
            self._orphans[cluster_id].append(found)

    async def _cluster(self, cluster_id: str, found: list[HostOrphans]) -> None:
        names = ", ".join(host.host_name for host in found)
        try:
            await workflow.execute_child_workflow(
                SweepCluster.run,
                SweepClusterInput(cluster_id, found),
                id=cluster_workflow_id(cluster_id),
                execution_timeout=timedelta(minutes=15),
                static_summary=f"Sweep what {cluster_id} left on {names}"[:200],
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info("busy, left to the next sweep: %s", cluster_id)
