"""What is read of clusters' and nodes' records by those who act on them."""

from dataclasses import dataclass

from domain.nodes import Member, NodePlan, NodeRef, Segment


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What activities read of a cluster's row."""

    id: str
    name: str
    coe: str
    segment: Segment | None


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What activities read of a node's row."""

    ref: NodeRef
    plan: NodePlan
    state: str

    @property
    def member(self) -> Member:
        """The node as its orchestrator knows it."""
        return Member(self.ref.id, self.ref.name, self.ref.role, self.plan.address)
