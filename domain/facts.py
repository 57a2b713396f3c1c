"""What is read of clusters' and nodes' records by those who act on them."""

from dataclasses import dataclass

from domain.clusters import ClusterType
from domain.nodes import Member, NodePlan, NodeRef, Segment
from domain.options import NETWORK_NONE, ClusterOptions


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What activities read of a cluster's row."""

    id: str
    name: str
    type: ClusterType
    segment: Segment | None
    options: ClusterOptions

    @property
    def coe(self) -> str:
        """The cluster's orchestrator."""
        return self.type.coe

    @property
    def lacks_network(self) -> bool:
        """Whether people are to bring the pod network. Until they have, the orchestrator holds no node for ready."""
        return self.options.network == NETWORK_NONE


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What activities read of a node's row."""

    ref: NodeRef
    plan: NodePlan
    state: str
    api_port: int | None = None
    """The port of the host that leads to the node's native API, where the host publishes ports."""

    @property
    def member(self) -> Member:
        """The node as its orchestrator knows it."""
        public = None if self.api_port is None else (self.plan.host.public_address, self.api_port)
        return Member(self.ref.id, self.ref.name, self.ref.role, self.plan.address, public)


@dataclass(frozen=True, slots=True)
class Leftover:
    """A node that is none any more, but whose container could not be removed from its host."""

    cluster_id: str
    node_id: str
    container: str
