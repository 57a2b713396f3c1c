"""What is wrong with a cluster that should be well: told apart, put in words, and dated. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from domain.clusters import COE_SWARM, Condition, Health, Severity
from domain.facts import ClusterFacts, NodeFacts
from domain.hosts import CAP_IPVS, Host
from domain.nodes import FoundNode, NodeRole
from domain.watch import PastHeal

NODE_MISSING = "node-missing"
NODE_STOPPED = "node-stopped"
NODE_NOT_READY = "node-not-ready"
HEAL_FAILED = "heal-failed"
HOST_UNREACHABLE = "host-unreachable"
NO_SERVICE_VIPS = "no-service-vips"
MENDED_BY_HEAL = frozenset({NODE_STOPPED, HEAL_FAILED})
"""What a heal that succeeded has mended, without another look."""

Key = tuple[str, str | None, str | None]


def key_of(condition: Condition) -> Key:
    """Return what makes two conditions the same one: type, node and host. What is said of it may change."""
    return condition.type, condition.node, condition.host


def health_of(conditions: Sequence[Condition]) -> Health:
    """Return the health of an active cluster: any fault degrades it, limits don't."""
    return Health.DEGRADED if any(each.severity is Severity.FAULT for each in conditions) else Health.HEALTHY


def of_hosts(coe: str, hosts: Sequence[Host], now: datetime) -> list[Condition]:
    """Return what does not work in a cluster with that orchestrator because its hosts can't do it."""
    without = [host.name for host in hosts if CAP_IPVS not in host.capabilities]
    if coe != COE_SWARM or not without:
        return []
    message = (
        "service VIPs and the ingress mesh don't work here; use --endpoint-mode dnsrr and publish mode=host "
        f"(hosts without IPVS: {', '.join(without)})"
    )
    return [replace(_condition(NO_SERVICE_VIPS, message, now, None), severity=Severity.LIMIT)]


def of_silent_host(host: Host, nodes: Sequence[NodeFacts], why: str, now: datetime) -> Condition:
    """Return that a host with these `nodes` of a cluster does not answer: whether they run can't be said."""
    names = ", ".join(node.ref.name for node in nodes)
    message = (
        f"The host {host.name} can't be reached: {why.rstrip('.')}. Whether {names} on it still run can't be told. "
        f"They stay as they are, and are looked after again once the host answers. If it is dead for good, "
        f"'carina host remove {host.name} --force' replaces its workers."
    )
    return replace(_condition(HOST_UNREACHABLE, message, now, None), host=host.name)


def of_containers(nodes: Sequence[NodeFacts], found: Sequence[FoundNode], now: datetime) -> list[Condition]:
    """Return which of `nodes`, which should all run, are gone from their hosts or stopped there.

    `found` are the containers on all the hosts that `nodes` are on.
    """
    running = {node.container: node.running for node in found}
    conditions = []
    for node in nodes:
        name, host = node.ref.name, node.ref.host
        state = running.get(node.plan.container)
        if state is None:
            message = f"The container of {name} is gone from {host}, with all that was in it. {_replacing(node)}"
            conditions.append(_condition(NODE_MISSING, message, now, name))
        elif not state:
            message = f"{name} has stopped on {host}. Carina starts it again by itself; see the cluster's operations."
            conditions.append(_condition(NODE_STOPPED, message, now, name))
    return conditions


def of_membership(
    cluster: ClusterFacts, nodes: Sequence[NodeFacts], ready: Mapping[str, bool], now: datetime
) -> list[Condition]:
    """Return which of the cluster's `nodes`, which all run, the orchestrator does not hold for ready, or not know."""
    return [
        _condition(NODE_NOT_READY, _not_ready(cluster, node, known=node.ref.name in ready), now, node.ref.name)
        for node in nodes
        if not ready.get(node.ref.name)
    ]


def of_silence(manager: NodeFacts, why: str, now: datetime) -> Condition:
    """Return that the manager runs and does not answer: nothing can be said of the others then."""
    message = (
        f"{manager.ref.name} runs on {manager.ref.host}, but its API does not answer: {why.rstrip('.')}. "
        f"If it stays so, look at its log on the host, or stop its container {manager.plan.container}: "
        "Carina starts it again."
    )
    return _condition(NODE_NOT_READY, message, now, manager.ref.name)


def of_failed_heal(failure: PastHeal, again_at: datetime | None, now: datetime) -> Condition:
    """Return that stopped nodes could not be started, why, and when that is tried again."""
    why = failure.error.detail.rstrip(".") if failure.error else "it does not say why"
    remedy = f" {failure.error.remedy}" if failure.error and failure.error.remedy else ""
    again = f"at {again_at:%H:%M:%S} UTC" if again_at else "now"
    message = f"Starting the stopped nodes failed: {why}. It is tried again {again}.{remedy}"
    return _condition(HEAL_FAILED, message, now, None)


def keep_since(conditions: Sequence[Condition], before: Sequence[Condition]) -> list[Condition]:
    """Return `conditions`, where those that there were `before` keep the time since which they are."""
    since = {key_of(condition): condition.since for condition in before}
    return [replace(condition, since=since.get(key_of(condition), condition.since)) for condition in conditions]


def after_heal(conditions: Sequence[Condition]) -> list[Condition]:
    """Return the conditions that are left once all stopped nodes were started."""
    return [condition for condition in conditions if condition.type not in MENDED_BY_HEAL]


def after_limits(conditions: Sequence[Condition]) -> list[Condition]:
    """Return the conditions without what was said of limits."""
    return [condition for condition in conditions if condition.severity is not Severity.LIMIT]


def _not_ready(cluster: ClusterFacts, node: NodeFacts, *, known: bool) -> str:
    state = "its cluster does not hold it for ready" if known else "its cluster does not know it"
    network = (
        "The cluster was made without a pod network: its nodes are ready once you have installed one. "
        if known and cluster.lacks_network
        else ""
    )
    return (
        f"{node.ref.name} runs on {node.ref.host}, but {state}. {network}If it stays so, look at its log on the host, "
        f"or stop its container {node.plan.container}: Carina starts it again."
    )


def _replacing(node: NodeFacts) -> str:
    if node.ref.role is NodeRole.MANAGER:
        return "A cluster can't go on without it: delete the cluster and create it again."
    return "Resize the cluster down and up again to replace it."


def _condition(kind: str, message: str, now: datetime, node: str | None) -> Condition:
    return Condition(kind, message, now.isoformat(timespec="seconds"), node)
