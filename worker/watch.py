"""The watch over hosts and running clusters: says what is wrong with them, and has stopped nodes started again.

It is a loop beside the reconciler and no workflow. A check that finds all well has nothing worth keeping, and as a
scheduled workflow every 15 s it was measured to add 140 MB a day to Temporal's database and 100 ms of processor time
to each check of three clusters, before it had looked at anything. What changes a cluster, the heal, is an operation
and a workflow like any other. Any number of watches may run beside each other: a heal is accepted once, by its row.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import structlog

from activities.ports import Fabric, Nodes, Orchestrator
from activities.record_ports import Records
from activities.secrets import ClusterSecrets
from domain import conditions as wrong
from domain.clusters import Condition
from domain.errors import CarinaError, NotFound
from domain.facts import NodeFacts
from domain.hosts import Host
from domain.watch import WatchedCluster, last_failure, next_heal_at
from worker.host_looks import HostLooks, Look
from worker.roll_call import RollCall
from worker.rules import Rules

ANSWER_TIMEOUT_S = 5.0
"""How long an orchestrator may take to tell who is ready, until it counts as silent."""
CHECK_WAIT_S = 10.0
"""How long a check waits for hosts that hang. What is about them is left for a later check to finish."""
DOUBT_S = 5.0
"""The pause before another look at what was not well for the first time: it may only have been slow."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Watch:
    """Looks after all hosts, and all active clusters, that nothing is being changed on."""

    def __init__(
        self,
        records: Records,
        secrets: ClusterSecrets,
        nodes: Nodes,
        fabric: Fabric,
        orchestrators: Mapping[str, Orchestrator],
        *,
        period_s: float,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        looks: HostLooks | None = None,
    ) -> None:
        self._records = records
        self._secrets = secrets
        self._looks = looks or HostLooks(nodes)
        self._roll_call = RollCall(records, self._looks)
        self._rules = Rules(fabric)
        self._orchestrators = orchestrators
        self._period_s = period_s
        self._answer_timeout_s = answer_timeout_s
        self._suspects: dict[str, frozenset[wrong.Key]] = {}
        self._examined: dict[str, asyncio.Task[None]] = {}
        self._asked: dict[str, asyncio.Task[Mapping[str, bool]]] = {}

    async def run(self) -> None:
        """Check at once and then every period, until cancelled. What goes wrong is logged, and tried again."""
        try:
            while True:
                try:
                    await self.check()
                except Exception:  # noqa: BLE001 - logged; the loop has to outlive any error
                    _log.exception("watch.check_failed")
                doubts = self._roll_call.in_doubt or any(self._suspects.values())
                await asyncio.sleep(min(DOUBT_S, self._period_s) if doubts else self._period_s)
        finally:
            self._looks.stop()
            self._rules.stop()
            for task in (*self._asked.values(), *self._examined.values()):
                task.cancel()

    async def check(self) -> None:
        """Look once at every watched cluster and its hosts. One that can't be looked at keeps no other from it."""
        since = time.monotonic()
        hosts = {host.id: host for host in await asyncio.to_thread(self._records.watched_hosts)}
        clusters = await asyncio.to_thread(self._records.watched_clusters)
        ids = {cluster.facts.id for cluster in clusters}
        self._suspects = {id_: suspects for id_, suspects in self._suspects.items() if id_ in ids}
        self._examined = {id_: task for id_, task in self._examined.items() if not task.done()}
        for cluster in clusters:
            if cluster.facts.id not in self._examined:
                self._examined[cluster.facts.id] = asyncio.create_task(self._guarded(cluster, hosts, since))
        await asyncio.gather(
            self._roll_call.take(hosts.values(), since, wait_s=CHECK_WAIT_S), self._wait_for_examined()
        )
        self._rules.look([host for host in hosts.values() if self._looks.answers(host)])

    async def _wait_for_examined(self) -> None:
        if self._examined:
            await asyncio.wait(self._examined.values(), timeout=CHECK_WAIT_S)

    async def _guarded(self, cluster: WatchedCluster, hosts: Mapping[str, Host], since: float) -> None:
        try:
            on_hosts = [hosts[id_] for id_ in {node.plan.host.id for node in cluster.nodes} if id_ in hosts]
            looks = await asyncio.gather(*(self._looks.at(host, since) for host in on_hosts))
            found = {host.id: look for host, look in zip(on_hosts, looks, strict=True)}
            self._suspects[cluster.facts.id] = await self._examine(cluster, found)
        except Exception:  # noqa: BLE001 - logged; the other clusters still get their turn
            _log.exception("watch.cluster_failed", cluster=cluster.facts.name)
            self._suspects.pop(cluster.facts.id, None)

    async def _examine(self, cluster: WatchedCluster, looks: Mapping[str, Look]) -> frozenset[wrong.Key]:
        """Record what is wrong, have it healed if that helps, and return what another look has to confirm."""
        now = datetime.now(UTC)
        found = {host_id: look.found for host_id, look in looks.items() if look.found is not None}
        seen = [node for node in cluster.nodes if node.plan.host.id in found]
        containers = [container for look in found.values() for container in look]
        certain = wrong.of_containers(seen, containers, now)
        unsure = [*_silent(cluster, looks, now), *await self._ask(cluster, _running(seen, certain), now)]
        known = {wrong.key_of(condition) for condition in cluster.conditions}
        known |= self._suspects.get(cluster.facts.id, frozenset())
        certain += [condition for condition in unsure if wrong.key_of(condition) in known]
        stopped = [condition.node for condition in certain if condition.type == wrong.NODE_STOPPED]
        again_at = next_heal_at(cluster.heals, now)
        failure = last_failure(cluster.heals)
        if stopped and failure is not None:
            certain.append(wrong.of_failed_heal(failure, again_at, now))
        certain += _left_as_said(cluster, seen, looks)
        hosts = {node.plan.host.id: node.plan.host for node in cluster.nodes}
        certain += wrong.of_hosts(cluster.facts.coe, sorted(hosts.values(), key=lambda host: host.name), now)
        current = await self._record(cluster, wrong.keep_since(certain, cluster.conditions))
        if current and stopped and again_at is None:
            operation_id = await asyncio.to_thread(self._records.accept_heal, cluster.facts.id)
            if operation_id is not None:
                _log.info("watch.heal", cluster=cluster.facts.name, nodes=stopped, operation=operation_id)
        return frozenset(wrong.key_of(condition) for condition in unsure)

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

    async def _record(self, cluster: WatchedCluster, conditions: Sequence[Condition]) -> bool:
        """Record the conditions if they are news; False if the cluster was changed since the look at it, or is."""
        if list(cluster.conditions) == list(conditions):
            return True
        watched = {other.facts.id: other for other in await asyncio.to_thread(self._records.watched_clusters)}
        present = watched.get(cluster.facts.id)
        if present is None or (present.nodes, present.heals) != (cluster.nodes, cluster.heals):
            return False
        try:
            await asyncio.to_thread(self._records.set_conditions, cluster.facts.id, conditions)
        except NotFound:
            return False  # deleted this moment
        told = [" ".join(filter(None, wrong.key_of(condition))) for condition in conditions]
        _log.info("watch.conditions", cluster=cluster.facts.name, conditions=told)
        return True


def _silent(cluster: WatchedCluster, looks: Mapping[str, Look], now: datetime) -> list[Condition]:
    """Return which of the cluster's hosts did not answer."""
    on_hosts: dict[str, list[NodeFacts]] = {}
    for node in cluster.nodes:
        on_hosts.setdefault(node.plan.host.id, []).append(node)
    return [
        wrong.of_silent_host(nodes[0].plan.host, nodes, looks[host_id].why, now)
        for host_id, nodes in on_hosts.items()
        if host_id in looks and looks[host_id].found is None
    ]


def _left_as_said(cluster: WatchedCluster, seen: Sequence[NodeFacts], looks: Mapping[str, Look]) -> list[Condition]:
    """Return what was said of nodes that can't be seen now, and of hosts that were not looked at."""
    unseen = {node.ref.name for node in cluster.nodes} - {node.ref.name for node in seen}
    unasked = {node.ref.host for node in cluster.nodes if node.plan.host.id not in looks}
    return [each for each in cluster.conditions if each.node in unseen or each.host in unasked]


def _running(nodes: Sequence[NodeFacts], conditions: Sequence[Condition]) -> Sequence[NodeFacts]:
    down = {condition.node for condition in conditions}
    return [node for node in nodes if node.ref.name not in down]


def _look_at_error(task: asyncio.Task[Mapping[str, bool]]) -> None:
    """Take the error of a task that nobody may be waiting for any more, so that asyncio does not complain of it."""
    if not task.cancelled():
        task.exception()
