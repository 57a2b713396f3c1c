"""The watch over running clusters: says what is wrong with them, and has stopped nodes started again.

It is a loop beside the reconciler and no workflow. A check that finds all well has nothing worth keeping, and as a
scheduled workflow every 15 s it was measured to add 140 MB a day to Temporal's database and 100 ms of processor time
to each check of three clusters, before it had looked at anything. What changes a cluster, the heal, is an operation
and a workflow like any other. Any number of watches may run beside each other: a heal is accepted once, by its row.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import structlog

from activities.ports import Nodes, Orchestrator, Records
from activities.secrets import ClusterSecrets
from domain import conditions as wrong
from domain.clusters import Condition
from domain.errors import CarinaError, NotFound
from domain.facts import NodeFacts
from domain.hosts import Host
from domain.nodes import FoundNode
from domain.watch import WatchedCluster, last_failure, next_heal_at

LOOK_TIMEOUT_S = 20.0
"""How long a host may take to tell which containers run."""
ANSWER_TIMEOUT_S = 5.0
"""How long an orchestrator may take to tell who is ready, until it counts as silent."""
DOUBT_S = 5.0
"""The pause before another look at a node that was not ready for the first time: it may only have been slow."""

_Suspect = tuple[str, wrong.Key]
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Watch:
    """Looks after all active clusters that nothing is being changed on."""

    def __init__(
        self,
        records: Records,
        secrets: ClusterSecrets,
        nodes: Nodes,
        orchestrators: Mapping[str, Orchestrator],
        *,
        period_s: float,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        self._records = records
        self._secrets = secrets
        self._nodes = nodes
        self._orchestrators = orchestrators
        self._period_s = period_s
        self._answer_timeout_s = answer_timeout_s
        self._suspects: frozenset[_Suspect] = frozenset()
        self._asked: dict[str, asyncio.Task[Mapping[str, bool]]] = {}

    async def run(self) -> None:
        """Check at once and then every period, until cancelled. What goes wrong is logged, and tried again."""
        try:
            while True:
                try:
                    await self.check()
                except Exception:  # noqa: BLE001 - logged; the loop has to outlive any error
                    _log.exception("watch.check_failed")
                await asyncio.sleep(min(DOUBT_S, self._period_s) if self._suspects else self._period_s)
        finally:
            for task in self._asked.values():
                task.cancel()

    async def check(self) -> None:
        """Look once at every watched host and cluster. One that can't be looked at keeps no other from it."""
        clusters = await asyncio.to_thread(self._records.watched_clusters)
        hosts = await asyncio.to_thread(self._records.watched_hosts) if clusters else ()
        looks = await asyncio.gather(*(self._look(host) for host in hosts))
        found = {host.id: look for host, look in zip(hosts, looks, strict=True) if look is not None}
        suspects = await asyncio.gather(*(self._guarded(cluster, found) for cluster in clusters))
        self._suspects = frozenset().union(*suspects)

    async def _look(self, host: Host) -> Sequence[FoundNode] | None:
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                return await self._nodes.found(host)
        except (CarinaError, TimeoutError) as error:
            _log.warning("watch.host_silent", host=host.name, reason=repr(error))
            return None

    async def _guarded(self, cluster: WatchedCluster, found: Mapping[str, Sequence[FoundNode]]) -> frozenset[_Suspect]:
        try:
            return await self._examine(cluster, found)
        except Exception:  # noqa: BLE001 - logged; the other clusters still get their turn
            _log.exception("watch.cluster_failed", cluster=cluster.facts.name)
            return frozenset()

    async def _examine(self, cluster: WatchedCluster, found: Mapping[str, Sequence[FoundNode]]) -> frozenset[_Suspect]:
        """Record what is wrong, have it healed if that helps, and return what another look has to confirm."""
        now = datetime.now(UTC)
        seen = [node for node in cluster.nodes if node.plan.host.id in found]
        containers = [container for look in found.values() for container in look]
        certain = wrong.of_containers(seen, containers, now)
        unsure = await self._ask(cluster, _running(seen, certain), now)
        known = {wrong.key_of(condition) for condition in cluster.conditions}
        for condition in unsure:
            key = wrong.key_of(condition)
            if key in known or (cluster.facts.id, key) in self._suspects:
                certain.append(condition)
        stopped = [condition.node for condition in certain if condition.type == wrong.NODE_STOPPED]
        again_at = next_heal_at(cluster.heals, now)
        failure = last_failure(cluster.heals)
        if stopped and failure is not None:
            certain.append(wrong.of_failed_heal(failure, again_at, now))
        unseen = {node.ref.name for node in cluster.nodes} - {node.ref.name for node in seen}
        certain += [condition for condition in cluster.conditions if condition.node in unseen]
        await self._record(cluster, wrong.keep_since(certain, cluster.conditions))
        if stopped and again_at is None:
            operation_id = await asyncio.to_thread(self._records.accept_heal, cluster.facts.id)
            if operation_id is not None:
                _log.info("watch.heal", cluster=cluster.facts.name, nodes=stopped, operation=operation_id)
        return frozenset((cluster.facts.id, wrong.key_of(condition)) for condition in unsure)

    async def _ask(self, cluster: WatchedCluster, running: Sequence[NodeFacts], now: datetime) -> list[Condition]:
        """Return which of the nodes that run are not ready. A manager that does not run can't be asked."""
        manager = cluster.nodes[0] if cluster.nodes else None
        if manager is None or manager not in running:
            return []
        task = self._asked.pop(cluster.facts.id, None)
        if task is None or task.done():  # else one thread is stuck on this cluster already: no second one
            task = asyncio.create_task(self._health(cluster, manager))
            task.add_done_callback(_look_at_error)
        done, _ = await asyncio.wait({task}, timeout=self._answer_timeout_s)
        if not done:
            self._asked[cluster.facts.id] = task
            return [wrong.of_silence(manager, f"not within {self._answer_timeout_s:g} s", now)]
        try:
            return wrong.of_membership(cluster.facts, running, task.result(), now)
        except CarinaError as error:
            return [wrong.of_silence(manager, error.detail, now)]

    async def _health(self, cluster: WatchedCluster, manager: NodeFacts) -> Mapping[str, bool]:
        access = await asyncio.to_thread(self._secrets.access, cluster.facts.id)
        return await self._orchestrators[cluster.facts.coe].health(manager.member, access)

    async def _record(self, cluster: WatchedCluster, conditions: Sequence[Condition]) -> None:
        """Record the conditions if they are news, unless a change to the cluster has begun since the look at it."""
        if list(cluster.conditions) == list(conditions):
            return
        watched = await asyncio.to_thread(self._records.watched_clusters)
        if cluster.facts.id not in {other.facts.id for other in watched}:
            return
        try:
            await asyncio.to_thread(self._records.set_conditions, cluster.facts.id, conditions)
        except NotFound:
            return  # deleted this moment
        told = [" ".join(filter(None, wrong.key_of(condition))) for condition in conditions]
        _log.info("watch.conditions", cluster=cluster.facts.name, conditions=told)


def _running(nodes: Sequence[NodeFacts], conditions: Sequence[Condition]) -> Sequence[NodeFacts]:
    down = {condition.node for condition in conditions}
    return [node for node in nodes if node.ref.name not in down]


def _look_at_error(task: asyncio.Task[Mapping[str, bool]]) -> None:
    """Take the error of a task that nobody may be waiting for any more, so that asyncio does not complain of it."""
    if not task.cancelled():
        task.exception()
