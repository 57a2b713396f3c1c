"""Nodes that are only remembered."""

from collections.abc import Callable, Sequence

from domain.hosts import Host
from domain.nodes import FoundNode, NodeFile, NodePlan


def never_fail(step: str, container: str) -> None:
    """Let every step succeed."""


class FakeNodes:
    """A `Nodes` without a host.

    `fail` is called before each step with the step's name (`ensure`, `remove`, `found`, `stop`) and the container
    (for `found`, the host's id); what it raises, the step raises. `plans` are the containers there, by name, and
    `running` the names of those that run.
    """

    def __init__(self, fail: Callable[[str, str], None] = never_fail) -> None:
        self.fail = fail
        self.plans: dict[str, NodePlan] = {}
        self.files: dict[str, Sequence[NodeFile]] = {}
        self.running: set[str] = set()

    async def ensure(self, plan: NodePlan, files: Sequence[NodeFile]) -> None:
        """Remember the node, with the files of its first call, and that it runs."""
        self.fail("ensure", plan.container)
        self.plans.setdefault(plan.container, plan)
        self.files.setdefault(plan.container, files)
        self.running.add(plan.container)

    async def remove(self, host: Host, container: str) -> None:
        """Forget the node."""
        self.fail("remove", container)
        self.plans.pop(container, None)
        self.files.pop(container, None)
        self.running.discard(container)

    async def found(self, host: Host) -> Sequence[FoundNode]:
        """Return the nodes on the host."""
        self.fail("found", host.id)
        return tuple(
            FoundNode(name, plan.stamp, name in self.running, age_s=0.0)
            for name, plan in self.plans.items()
            if plan.host.id == host.id
        )

    async def stop(self, host: Host, container: str, timeout_s: float) -> None:
        """Remember that the node does not run."""
        self.fail("stop", container)
        self.running.discard(container)
