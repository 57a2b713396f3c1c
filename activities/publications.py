"""Steps about ports of hosts that lead to nodes: those of native APIs, and those that people ask for."""

from collections.abc import Callable, Iterable

from temporalio import activity

from activities.hosts_at_once import Part, converge
from activities.inputs import HostsStep, HostStep, Step
from activities.ports import Fabric
from activities.record_ports import Records
from domain.hosts import Endpoint, Host, HostState
from domain.nodes import NodeState
from domain.publications import Publication

_Ports = tuple[Publication, ...]


class PublicationActivities:
    """Brings the ports of hosts that publish any to what the rows say: each host's all at once."""

    def __init__(self, records: Records, fabric: Fabric) -> None:
        self._records = records
        self._fabric = fabric

    @activity.defn
    async def ensure_publications(self, step: Step) -> None:
        """Ensure that ports lead to the cluster's nodes, on all of its hosts. Retried: one that does not answer."""
        await self._bring(lambda: self._carrying(step.cluster_id), all_must_answer=True)

    @activity.defn
    async def settle_publications(self, step: HostsStep) -> None:
        """Ensure that ports of the cluster's hosts, and of those named, lead to who is there, and to nobody who went.

        A host that does not answer is noted and left out.
        """
        named = frozenset(step.hosts or ())

        def hosts() -> list[Host]:
            carrying = self._carrying(step.cluster_id)
            known = {host.id for host in carrying}
            return carrying + [host for host in self._records.hosts() if host.name in named and host.id not in known]

        await self._bring(hosts, all_must_answer=False)

    @activity.defn
    async def host_publications(self, step: HostStep) -> None:
        """Ensure that the host's ports lead to the nodes on it."""
        await self._bring(lambda: [self._records.host(step.host_id)], all_must_answer=True)

    @activity.defn
    def forget_publication(self, step: Step) -> None:
        """Drop the row of the port that the operation was to publish."""
        self._records.forget_publication(step.operation_id)

    async def _bring(self, hosts: Callable[[], Iterable[Host]], *, all_must_answer: bool) -> None:
        def read() -> list[Part[_Ports]]:
            return [Part(host, tuple(self._records.publications(host.id))) for host in hosts() if _publishes(host)]

        async def work(part: Part[_Ports]) -> None:
            await self._fabric.ensure_publications(part.host, part.wanted)

        await converge(read, work, all_must_answer=all_must_answer)

    def _carrying(self, cluster_id: str) -> list[Host]:
        nodes = [node for node in self._records.nodes(cluster_id) if node.state != NodeState.LEFTOVER]
        return list({node.plan.host.id: node.plan.host for node in nodes}.values())


def _publishes(host: Host) -> bool:
    return host.endpoint is Endpoint.PUBLISHED and host.state is not HostState.REMOVING
