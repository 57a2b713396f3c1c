"""What the sweep says of nodes, given what was found on their host."""

from datetime import UTC, datetime

from activities.maintenance import NODE_MISSING, NODE_STOPPED, conditions_of
from domain.facts import NodeFacts
from domain.hosts import Host
from domain.nodes import FoundNode, NodePlan, NodeRef, NodeRole, NodeState, Segment, Stamp

HOST = Host("h", "metal", "local", "/nowhere")
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def node(name: str) -> NodeFacts:
    stamp = Stamp("tst0", "c", name, "")
    segment = Segment("c", "tst0-br1", "10.64.0.0/24", "10.64.0.1", 1500)
    plan = NodePlan(HOST, name, f"tst0-{name}", NodeRole.WORKER, "10.64.0.11", 0, "v", segment, stamp, "")
    return NodeFacts(NodeRef(name, name, NodeRole.WORKER, HOST.name), plan, NodeState.ACTIVE)


def found(name: str, *, running: bool) -> FoundNode:
    return FoundNode(f"tst0-{name}", Stamp("tst0", "c", name, ""), running, age_s=1.0)


def test_nodes_that_run_are_no_condition() -> None:
    assert conditions_of([node("a-1")], [found("a-1", running=True), found("b-1", running=False)], NOW) == []


def test_a_node_that_is_gone_and_one_that_stopped_are_told_apart() -> None:
    conditions = conditions_of([node("a-1"), node("a-2")], [found("a-2", running=False)], NOW)
    assert [(item.type, item.node, item.since) for item in conditions] == [
        (NODE_MISSING, "a-1", "2030-01-02T03:04:05+00:00"),
        (NODE_STOPPED, "a-2", "2030-01-02T03:04:05+00:00"),
    ]
    assert all("metal" in item.message for item in conditions)
