"""Steps about who belongs to a cluster, for every orchestrator alike."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from temporalio import activity

from activities.hosts_at_once import on_all
from activities.inputs import NodesStep, Step
from activities.notes import note
from activities.ports import Orchestrator
from activities.record_ports import Records
from activities.secrets import ClusterSecrets
from domain.errors import DockerSilent, KubernetesFailed, NotFound, StepFailed, SwarmFailed
from domain.facts import NodeFacts
from domain.nodes import Member, NodeRef, NodeState
from domain.secrets import Access

REJOIN_TIMEOUT_S = 45.0
REJOIN_POLL_S = 0.05


@dataclass(frozen=True, repr=False)
class _Party:
    orchestrator: Orchestrator
    access: Access
    manager: Member
    node: Member | None
    places: str

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Say of silence where those are who were asked: it is often their host that is silent."""
        try:
            yield
        except (SwarmFailed, KubernetesFailed, DockerSilent) as error:
            raise type(error)(f"{error.detail} ({self.places})", remedy=error.remedy) from error


class MembershipActivities:
    """Forms a cluster, and takes nodes in and out of it."""

    def __init__(self, records: Records, secrets: ClusterSecrets, orchestrators: Mapping[str, Orchestrator]) -> None:
        self._records = records
        self._secrets = secrets
        self._orchestrators = orchestrators

    @activity.defn
    async def form_cluster(self, step: Step) -> None:
        """Ensure that the manager has formed the cluster."""
        party = await asyncio.to_thread(self._party, step)
        with party.asked():
            await party.orchestrator.form(party.manager, party.access)

    @activity.defn
    async def join_node(self, step: Step) -> None:
        """Ensure that the node is a member, exactly once. The join token lives and dies in here."""
        party = await asyncio.to_thread(self._party, step)
        with party.asked():
            await party.orchestrator.join(party.manager, _required(party.node, step), party.access)

    @activity.defn
    async def drain_node(self, step: Step) -> None:
        """Ensure that no work is left on the node, or that the bound for moving it has passed.

        What had no other home to go to is noted on the step.
        """
        party = await asyncio.to_thread(self._party, step)
        if party.node is not None:
            with party.asked():
                stranded = await party.orchestrator.drain(party.manager, party.node, party.access)
            for lost in stranded:
                note(lost)

    @activity.defn
    async def undrain_node(self, step: Step) -> None:
        """Ensure that the node takes work again, after a removal that did not come about."""
        party = await asyncio.to_thread(self._party, step)
        if party.node is not None:
            with party.asked():
                await party.orchestrator.undrain(party.manager, party.node, party.access)

    @activity.defn
    async def leave_node(self, step: Step) -> None:
        """Ensure that the node is no member any more. A node without a row has gone before."""
        party = await asyncio.to_thread(self._party, step)
        if party.node is not None:
            with party.asked():
                await party.orchestrator.leave(party.manager, party.node, party.access)

    @activity.defn
    async def await_members(self, step: NodesStep) -> None:
        """Return once the orchestrator holds every active node for ready again, as after a reboot.

        Until then a node's engine answers, but keeps whoever starts a container on an overlay network waiting.
        Where the step names nodes, those have to be back in time; of the others it is only noted if they are not.
        A cluster whose pod network is for people to bring only has to know its nodes.
        """
        cluster = await asyncio.to_thread(self._records.cluster, step.cluster_id)
        nodes = [node for node in await asyncio.to_thread(self._records.nodes, step.cluster_id) if _is_active(node)]
        if not nodes:
            return
        party = await asyncio.to_thread(self._party, step)
        deadline = time.monotonic() + REJOIN_TIMEOUT_S
        while True:
            with party.asked():
                ready = await party.orchestrator.health(party.manager, party.access)
            back = {name for name, is_ready in ready.items() if is_ready or cluster.lacks_network}
            absent = [node.ref for node in nodes if node.ref.name not in back]
            if not absent or time.monotonic() > deadline:
                break
            await asyncio.sleep(REJOIN_POLL_S)
        if absent:
            message = f"These nodes run, but are not back in their cluster: {', '.join(node.name for node in absent)}."
            if any(_is_about(step, node) for node in absent):
                raise StepFailed(message)
            note(message)
        await on_all(
            [node for node in nodes if node.ref.name in back],
            lambda node: self._start_unattached(party, node, step),
        )

    async def _start_unattached(self, party: _Party, node: NodeFacts, step: NodesStep) -> None:
        """Start what the node's engine had left. A node that the step is not about may be silent: that is noted."""
        try:
            started = await party.orchestrator.start_unattached(node.member, party.access)
        except (SwarmFailed, DockerSilent) as error:
            detail = f"{error.detail} ({node.ref.name} is on {node.ref.host})"
            if _is_about(step, node.ref):
                raise type(error)(detail, remedy=error.remedy) from error
            note(f"{node.ref.name} was left out: {detail}")
            return
        if started:
            why = "because it was back before its cluster"
            note(f"Started on {node.ref.name} what its engine had left, {why}: {', '.join(started)}.")

    def _party(self, step: Step) -> _Party:
        cluster = self._records.cluster(step.cluster_id)
        manager = self._records.nodes(step.cluster_id)[0]
        node = None
        places = [f"{manager.ref.name} is on {manager.ref.host}"]
        if step.node is not None:
            try:
                node = self._records.node(step.node.id).member
                places += [f"{node.name} is on {step.node.host}"] if node.name != manager.ref.name else []
            except NotFound:
                activity.logger.info("the node has gone before")
        access = self._secrets.access(cluster.id)
        return _Party(self._orchestrators[cluster.coe], access, manager.member, node, ", ".join(places))


def _required(node: Member | None, step: Step) -> Member:
    if node is None:
        raise NotFound(f"The node {step.node.name if step.node else '?'} has no row any more.")
    return node


def _is_about(step: NodesStep, node: NodeRef) -> bool:
    return step.node_ids is None or node.id in step.node_ids


def _is_active(node: NodeFacts) -> bool:
    return node.state == NodeState.ACTIVE
