"""What is said of clusters that are not well, and when their stopped nodes are started again."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.clusters import Condition, Health, Severity, kubernetes_type
from domain.conditions import (
    HEAL_FAILED,
    NO_SERVICE_VIPS,
    NODE_MISSING,
    NODE_NOT_READY,
    NODE_STOPPED,
    after_heal,
    after_limits,
    health_of,
    keep_since,
    key_of,
    of_containers,
    of_failed_heal,
    of_hosts,
    of_membership,
    of_silence,
    of_silent_host,
)
from domain.errors import DiskFull
from domain.facts import ClusterFacts, NodeFacts
from domain.hosts import Host
from domain.nodes import FoundNode, NodePlan, NodeRef, NodeRole, NodeState, Segment, Stamp
from domain.operations import OperationState
from domain.options import NETWORK_NONE, ClusterOptions
from domain.watch import LONGEST_PAUSE, PastHeal, last_failure, next_heal_at
from store.mapping import conditions_from_json, conditions_to_json

HOST = Host("h", "metal", "local", "/nowhere")
CLUSTER = ClusterFacts("c", "a", kubernetes_type(20, "1.35.4"), None, ClusterOptions())
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
SINCE = "2030-01-02T03:04:05+00:00"


def node(name: str, role: NodeRole = NodeRole.WORKER) -> NodeFacts:
    stamp = Stamp("tst0", "c", name, "")
    segment = Segment("c", "tst0-br1", "10.64.0.0/24", "10.64.0.1", 1500)
    plan = NodePlan(HOST, name, f"tst0-{name}", role, "10.64.0.11", 0, "v", segment, stamp, "")
    return NodeFacts(NodeRef(name, name, role, HOST.name), plan, NodeState.ACTIVE)


def found(name: str, *, running: bool) -> FoundNode:
    return FoundNode(f"tst0-{name}", Stamp("tst0", "c", name, ""), running, age_s=1.0)


def heal(ago_s: float, state: OperationState = OperationState.FAILED) -> PastHeal:
    return PastHeal(state, NOW - timedelta(seconds=ago_s), DiskFull("full").record())


def pause_s(heals: Sequence[PastHeal]) -> float | None:
    again_at = next_heal_at(heals, NOW)
    return None if again_at is None else (again_at - NOW).total_seconds()


def told(conditions: Sequence[Condition]) -> list[tuple[str, str | None, str]]:
    return [(condition.type, condition.node, condition.since) for condition in conditions]


def test_nodes_that_run_and_are_ready_are_no_condition() -> None:
    nodes = [node("a-1"), node("a-2")]
    containers = [found("a-1", running=True), found("a-2", running=True), found("b-1", running=False)]
    assert of_containers(nodes, containers, NOW) == []
    assert of_membership(CLUSTER, nodes, {"a-1": True, "a-2": True, "b-1": False}, NOW) == []


def test_a_node_that_is_gone_and_one_that_stopped_are_told_apart() -> None:
    conditions = of_containers([node("a-1"), node("a-2")], [found("a-2", running=False)], NOW)
    assert told(conditions) == [(NODE_MISSING, "a-1", SINCE), (NODE_STOPPED, "a-2", SINCE)]
    assert all("metal" in condition.message for condition in conditions)


@pytest.mark.parametrize(("role", "remedy"), [(NodeRole.MANAGER, "delete the cluster"), (NodeRole.WORKER, "Resize")])
def test_a_node_that_is_gone_has_the_remedy_of_its_role(role: NodeRole, remedy: str) -> None:
    (condition,) = of_containers([node("a-1", role)], [], NOW)
    assert remedy in condition.message


def test_a_node_that_is_not_ready_and_one_that_is_not_known_are_told_apart() -> None:
    not_ready, unknown = of_membership(
        CLUSTER, [node("a-1"), node("a-2"), node("a-3")], {"a-1": True, "a-2": False}, NOW
    )
    assert told([not_ready, unknown]) == [(NODE_NOT_READY, "a-2", SINCE), (NODE_NOT_READY, "a-3", SINCE)]
    assert "does not hold it for ready" in not_ready.message
    assert "does not know it" in unknown.message


def test_a_node_that_waits_for_a_network_of_peoples_own_says_so() -> None:
    bare = replace(CLUSTER, options=ClusterOptions(network=NETWORK_NONE))
    (bare_said,) = of_membership(bare, [node("a-1")], {"a-1": False}, NOW)
    (said,) = of_membership(CLUSTER, [node("a-1")], {"a-1": False}, NOW)
    assert "without a pod network" in bare_said.message
    assert "without a pod network" not in said.message


def test_a_manager_that_does_not_answer_is_said_with_the_reason() -> None:
    condition = of_silence(node("a-1", NodeRole.MANAGER), "connection refused.", NOW)
    assert told([condition]) == [(NODE_NOT_READY, "a-1", SINCE)]
    assert "does not answer: connection refused. If" in condition.message


def test_a_condition_that_stays_keeps_its_time_whatever_is_said_of_it() -> None:
    old = Condition(NODE_STOPPED, "It was so.", "2029-01-01T00:00:00+00:00", "a-1")
    now = [replace(old, message="It still is.", since=SINCE), Condition(NODE_STOPPED, "It too.", SINCE, "a-2")]
    kept = keep_since(now, [old, Condition(HEAL_FAILED, "", "2029-01-01T00:00:00+00:00", None)])
    assert told(kept) == [(NODE_STOPPED, "a-1", old.since), (NODE_STOPPED, "a-2", SINCE)]
    assert kept[0].message == "It still is."


def test_only_a_swarm_on_hosts_without_ipvs_is_told_of_its_limit() -> None:
    able, unable = replace(HOST, capabilities=frozenset({"ipvs"})), replace(HOST, name="old")
    assert of_hosts("swarm", [able], NOW) == []
    assert of_hosts("kubernetes", [unable], NOW) == []
    (limit,) = of_hosts("swarm", [able, unable], NOW)
    assert (limit.type, limit.severity) == (NO_SERVICE_VIPS, Severity.LIMIT)
    assert limit.message == (
        "service VIPs and the ingress mesh don't work here; use --endpoint-mode dnsrr and publish mode=host "
        "(hosts without IPVS: old)"
    )


def test_a_limit_is_no_ill_health_and_any_fault_is() -> None:
    (limit,) = of_hosts("swarm", [HOST], NOW)
    fault = Condition(NODE_STOPPED, "", SINCE, "a-1")
    assert health_of([]) is health_of([limit]) is Health.HEALTHY
    assert health_of([limit, fault]) is Health.DEGRADED
    assert after_limits([limit, fault]) == [fault]


def test_conditions_that_were_stored_without_a_severity_are_faults() -> None:
    (old,) = conditions_from_json([{"type": NODE_STOPPED, "message": "m", "since": SINCE, "node": "a-1"}])
    assert old == Condition(NODE_STOPPED, "m", SINCE, "a-1")
    (limit,) = of_hosts("swarm", [HOST], NOW)
    assert conditions_from_json(json.loads(json.dumps(conditions_to_json([limit, old])))) == (limit, old)


def test_silent_hosts_of_a_cluster_are_told_apart() -> None:
    nodes = [node("a-1"), node("a-2")]
    silent = [of_silent_host(replace(HOST, name=name), nodes, "timed out.", NOW) for name in ("one", "two")]
    assert len({key_of(condition) for condition in silent}) == 2
    assert "The host one can't be reached: timed out. Whether a-1, a-2 on it still run" in silent[0].message
    assert "'carina host remove one --force'" in silent[0].message


def test_a_heal_mends_what_it_is_for_and_nothing_else() -> None:
    kinds = (NODE_STOPPED, NODE_MISSING, NODE_NOT_READY, HEAL_FAILED)
    left = after_heal([Condition(kind, "", SINCE, "a-1") for kind in kinds])
    assert [condition.type for condition in left] == [NODE_MISSING, NODE_NOT_READY]


def test_a_failed_heal_says_why_and_when_the_next_one_comes() -> None:
    waiting = of_failed_heal(heal(1), NOW + timedelta(seconds=14), NOW)
    assert told([waiting]) == [(HEAL_FAILED, None, SINCE)]
    assert "failed: full. It is tried again at 03:04:19 UTC." in waiting.message
    assert "It is tried again now." in of_failed_heal(heal(60), None, NOW).message


def test_the_first_heal_comes_at_once() -> None:
    assert next_heal_at([], NOW) is None
    assert last_failure([]) is None


def test_pauses_double_with_each_heal_that_fails_up_to_the_longest() -> None:
    pauses = [pause_s([heal(0)] * failed) for failed in range(1, 10)]
    assert pauses == [15, 30, 60, 120, 240, 480, 600, 600, 600]
    assert LONGEST_PAUSE.total_seconds() == 600


def test_a_pause_is_over_in_its_time() -> None:
    assert pause_s([heal(14), heal(40)]) == 16
    assert pause_s([heal(30), heal(60)]) is None


def test_a_heal_that_was_cancelled_counts_as_one_that_failed() -> None:
    assert pause_s([heal(0, OperationState.CANCELLED)]) == 15


def test_a_heal_that_succeeded_long_ago_ends_the_row_of_failures() -> None:
    before = [heal(700, OperationState.SUCCEEDED), *[heal(800)] * 8]
    assert pause_s([heal(0), *before]) == 15
    assert pause_s(before) is None


def test_a_node_that_stops_whenever_it_was_started_is_not_started_for_ever() -> None:
    well = OperationState.SUCCEEDED
    assert pause_s([heal(0, well), heal(60, well), heal(120, well)]) is None
    assert pause_s([heal(0, well), heal(60, well), heal(120, well), heal(180, well)]) == 15
    assert pause_s([heal(0, well), heal(60, well), heal(120, well), heal(601, well)]) is None


def test_failures_of_long_ago_are_forgotten() -> None:
    assert pause_s([heal(0), *[heal(7200)] * 8]) == 15


def test_only_the_newest_heal_says_whether_the_last_one_failed() -> None:
    assert last_failure([heal(1), heal(2, OperationState.SUCCEEDED)]) == heal(1)
    assert last_failure([heal(1, OperationState.SUCCEEDED), heal(2)]) is None
