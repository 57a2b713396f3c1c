"""Clusters are looked after by themselves: what is wrong is said, and nodes that have stopped are started."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from sqlalchemy import text
from temporalio.client import WorkflowExecutionStatus
from workflow_testbed import Bed, steps_named

from activities import membership
from activities.ports import Nodes, Orchestrator
from activities.secrets import ClusterSecrets
from domain.clusters import Condition, Health, Severity
from domain.conditions import HEAL_FAILED, HOST_UNREACHABLE, NODE_MISSING, NODE_NOT_READY, NODE_STOPPED
from domain.errors import ClusterBusy, DiskFull, DockerSilent, HostUnreachable
from domain.hosts import HostState
from domain.operations import OperationKind, OperationState
from drivers.vault import FileVault
from store.views import ClusterView, OperationView
from worker.watch import Watch


class Readiness:
    """An orchestrator of which only the health is asked: `ready` overrides what it says of a node."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self.ready: dict[str, bool] = {}
        self.silent = False
        self.asked = 0

    async def health(self, *args: Any) -> dict[str, bool]:
        self.asked += 1
        if self.silent:
            await asyncio.Event().wait()
        return {**await self._bed.orchestrator.health(*args), **self.ready}


@pytest.fixture
def readiness(bed: Bed) -> Readiness:
    return Readiness(bed)


def watch_of(bed: Bed, readiness: Readiness, answer_timeout_s: float) -> Watch:
    orchestrators = {"swarm": cast("Orchestrator", readiness)}
    secrets = ClusterSecrets(bed.records, FileVault(bed.vault_key))
    nodes = cast("Nodes", bed.nodes)
    return Watch(bed.records, secrets, nodes, bed.fabric, orchestrators, period_s=15, answer_timeout_s=answer_timeout_s)


@pytest.fixture
def watch(bed: Bed, readiness: Readiness) -> Watch:
    return watch_of(bed, readiness, answer_timeout_s=30)


def stop(bed: Bed, *names: str) -> None:
    bed.nodes.running -= {plan.container for plan in bed.nodes.plans.values() if plan.name in names}


def told(bed: Bed, cluster: ClusterView) -> list[tuple[str, str | None]]:
    conditions = bed.cluster(cluster).conditions
    return [(each.type, each.node or each.host) for each in conditions if each.severity is Severity.FAULT]


def heals(bed: Bed, cluster: ClusterView) -> list[OperationView]:
    operations = bed.repository.operations(cluster.id, limit=100, marker=None).items
    return [operation for operation in operations if operation.kind is OperationKind.HEAL]


def age(bed: Bed, seconds: float) -> None:
    """Let all heals have ended so long ago."""
    with bed.engine.begin() as connection:
        ended_at = (datetime.now(UTC) - timedelta(seconds=seconds)).replace(tzinfo=None)
        connection.execute(
            text("UPDATE operations SET ended_at = :ended_at WHERE kind = 'heal'"), {"ended_at": str(ended_at)}
        )


async def test_a_cluster_that_is_well_is_left_alone(bed: Bed, watch: Watch) -> None:
    cluster = await bed.active(count=3)
    before = bed.cluster(cluster)
    await watch.check()
    assert bed.cluster(cluster) == before
    assert (before.health, heals(bed, cluster)) == (Health.HEALTHY, [])


async def test_nodes_that_have_stopped_are_said_started_and_seen_back(bed: Bed, watch: Watch) -> None:
    cluster = await bed.active(count=3)
    stop(bed, "demo-1", "demo-3")
    bed.fabric.segments.clear()
    await watch.check()
    degraded = bed.cluster(cluster)
    assert degraded.health is Health.DEGRADED
    assert told(bed, cluster) == [(NODE_STOPPED, "demo-1"), (NODE_STOPPED, "demo-3")]
    (accepted,) = heals(bed, cluster)
    assert (accepted.state, degraded.operation_id) == (OperationState.PENDING, accepted.id)

    with pytest.raises(ClusterBusy, match=accepted.id):
        bed.accept_resize(cluster.id, 4)
    operation = await bed.run(accepted)
    assert operation.state is OperationState.SUCCEEDED
    assert [step.node for step in steps_named(operation, "ensure_node")] == ["demo-1", "demo-3"], "manager first"
    assert len(bed.nodes.running) == 3
    assert len(bed.fabric.segments) == 1
    assert (bed.cluster(cluster).health, told(bed, cluster)) == (Health.HEALTHY, [])
    await watch.check()
    assert len(heals(bed, cluster)) == 1


async def test_a_cluster_that_is_being_changed_is_left_alone(bed: Bed, watch: Watch) -> None:
    cluster = await bed.active(count=2)
    held = bed.trouble.hold("nodes.ensure", on="demo-3")
    handle = await bed.start(bed.accept_resize(cluster.id, 3).operation)
    await held.wait_reached()
    stop(bed, "demo-2")
    await watch.check()
    assert (told(bed, cluster), heals(bed, cluster)) == ([], [])
    held.release()
    await bed.end(handle)


async def test_a_change_that_begins_while_a_cluster_is_looked_at_has_the_word(
    bed: Bed, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = await bed.active(count=2)
    stop(bed, "demo-2")
    found = bed.nodes.found

    async def then_changed(host: Any) -> Any:
        looked = await found(host)
        bed.accept_resize(cluster.id, 1)
        return looked

    monkeypatch.setattr(bed.nodes, "found", then_changed)
    await watch.check()
    assert (told(bed, cluster), heals(bed, cluster)) == ([], [])


async def test_a_host_that_is_being_prepared_is_not_looked_at(bed: Bed, watch: Watch) -> None:
    cluster = await bed.active(count=2)
    stop(bed, "demo-1", "demo-2")
    bed.outbox.accept_prepare_host(bed.ready_host().id)
    await watch.check()
    assert (told(bed, cluster), heals(bed, cluster)) == ([], [])


async def test_a_heal_waits_for_a_host_that_is_being_prepared(bed: Bed, watch: Watch) -> None:
    cluster = await bed.active(count=2)
    stop(bed, "demo-2")
    await watch.check()
    (accepted,) = heals(bed, cluster)
    host = bed.ready_host()
    bed.records.record_host(replace(host, state=HostState.PREPARING), None)
    handle = await bed.start(accepted)
    await bed.until(lambda: len(steps_named(bed.repository.operation(accepted.id), "stopped_members")) > 1)
    assert len(bed.nodes.running) == 1
    bed.ready_host()
    assert await bed.end(handle) is WorkflowExecutionStatus.COMPLETED
    assert len(bed.nodes.running) == 2


async def test_a_heal_that_fails_is_said_and_tried_again_after_a_pause_that_grows(bed: Bed, watch: Watch) -> None:
    cluster = await bed.active(count=2)
    stop(bed, "demo-2")
    bed.trouble.fail("nodes.ensure", DiskFull("the pool is full"), on="demo-2")
    await watch.check()
    operation = await bed.run(heals(bed, cluster)[0])
    assert (operation.state, operation.error) == (OperationState.FAILED, DiskFull("metal: the pool is full").record())
    assert bed.cluster(cluster).error is None
    await watch.check()
    assert told(bed, cluster) == [(NODE_STOPPED, "demo-2"), (HEAL_FAILED, None)]
    assert "the pool is full" in bed.cluster(cluster).conditions[1].message
    assert len(heals(bed, cluster)) == 1, "not at once"
    since = bed.cluster(cluster).conditions[0].since

    age(bed, 16)
    await watch.check()
    await bed.run(heals(bed, cluster)[1])
    age(bed, 16)
    await watch.check()
    assert len(heals(bed, cluster)) == 2, "the second pause is longer"
    age(bed, 31)
    bed.trouble.heal()
    await watch.check()
    assert bed.cluster(cluster).conditions[0].since == since
    assert (await bed.run(heals(bed, cluster)[2])).state is OperationState.SUCCEEDED
    assert (bed.cluster(cluster).health, told(bed, cluster)) == (Health.HEALTHY, [])


async def test_a_node_that_is_gone_is_said_and_not_made_anew(bed: Bed, watch: Watch) -> None:
    cluster = await bed.active(count=2)
    gone = bed.nodes.plans.pop(next(name for name, plan in bed.nodes.plans.items() if plan.name == "demo-2"))
    await watch.check()
    assert (told(bed, cluster), heals(bed, cluster)) == ([(NODE_MISSING, "demo-2")], [])
    bed.nodes.plans[gone.container] = gone
    await watch.check()
    assert (bed.cluster(cluster).health, told(bed, cluster)) == (Health.HEALTHY, [])


async def test_a_node_that_is_not_ready_is_said_once_a_second_look_confirms_it(
    bed: Bed, watch: Watch, readiness: Readiness
) -> None:
    cluster = await bed.active(count=2)
    readiness.ready["demo-2"] = False
    await watch.check()
    assert told(bed, cluster) == []
    await watch.check()
    assert told(bed, cluster) == [(NODE_NOT_READY, "demo-2")]
    await watch.check()
    assert told(bed, cluster) == [(NODE_NOT_READY, "demo-2")]
    readiness.ready.clear()
    await watch.check()
    assert (bed.cluster(cluster).health, told(bed, cluster), heals(bed, cluster)) == (Health.HEALTHY, [], [])


async def test_a_manager_that_is_silent_is_said_and_not_asked_again_while_it_is(bed: Bed, readiness: Readiness) -> None:
    watch = watch_of(bed, readiness, answer_timeout_s=0.5)
    cluster = await bed.active(count=2)
    other = await bed.active("other")
    readiness.silent = True
    for _ in range(3):
        await watch.check()
    assert told(bed, cluster) == [(NODE_NOT_READY, "demo-1")]
    assert told(bed, other) == [(NODE_NOT_READY, "other-1")]
    assert readiness.asked == 2, "once for each cluster"


async def test_a_manager_that_answers_with_an_error_is_said_with_it(bed: Bed, watch: Watch) -> None:
    cluster = await bed.active()
    bed.orchestrator.failing["health"] = DockerSilent("connection refused")
    await watch.check()
    await watch.check()
    assert told(bed, cluster) == [(NODE_NOT_READY, "demo-1")]
    assert "connection refused" in bed.cluster(cluster).conditions[0].message


async def test_a_host_that_can_not_be_looked_at_is_said_and_leaves_what_was_said_of_its_nodes(
    bed: Bed, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = await bed.active(count=2)
    stop(bed, "demo-2")
    await watch.check()
    await bed.run(heals(bed, cluster)[0])
    stop(bed, "demo-2")
    await watch.check()
    await bed.run(heals(bed, cluster)[1])
    bed.records.set_conditions(cluster.id, [Condition(NODE_MISSING, "it is gone", "2030-01-01T00:00:00Z", "demo-2")])

    async def unreachable(_host: object) -> Any:
        raise HostUnreachable("no route to host")

    with monkeypatch.context() as patch:
        patch.setattr(bed.nodes, "found", unreachable)
        await watch.check()
        assert told(bed, cluster) == [(NODE_MISSING, "demo-2")], "one look may fail"
        for _ in range(4):
            await watch.check()
        assert told(bed, cluster) == [(HOST_UNREACHABLE, "metal"), (NODE_MISSING, "demo-2")]
    condition = bed.cluster(cluster).conditions[0]
    assert "The host metal can't be reached: no route to host. Whether demo-1, demo-2 on it" in condition.message
    await watch.check()
    await watch.check()
    assert (told(bed, cluster), bed.cluster(cluster).health) == ([], Health.HEALTHY)


async def test_a_heal_asks_only_for_the_nodes_that_it_started(bed: Bed, watch: Watch, readiness: Readiness) -> None:
    cluster = await bed.active(count=3)
    stop(bed, "demo-2")
    await watch.check()
    bed.members().discard("demo-3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(membership, "REJOIN_TIMEOUT_S", 0.1)
        operation = await bed.run(heals(bed, cluster)[0])
    assert operation.state is OperationState.SUCCEEDED
    (step,) = steps_named(operation, "await_members")
    assert "demo-3" in str(step.note)


async def test_what_engines_had_left_is_started_on_those_that_are_back(
    bed: Bed, watch: Watch, readiness: Readiness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "REJOIN_TIMEOUT_S", 0.1)
    cluster = await bed.active(count=3)
    stop(bed, "demo-2")
    bed.orchestrator.left = {"demo-2": ["web", "db"], "demo-3": ["cache"]}
    await watch.check()
    bed.members().discard("demo-3")
    operation = await bed.run(heals(bed, cluster)[0])
    assert operation.state is OperationState.SUCCEEDED
    (step,) = steps_named(operation, "await_members")
    assert "Started on demo-2 what its engine had left, because it was back before its cluster: web, db." in str(
        step.note
    )
    assert bed.orchestrator.left == {"demo-3": ["cache"]}


async def test_nodes_without_a_network_are_back_once_their_cluster_knows_them(
    bed: Bed, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = await bed.active(count=2)
    with bed.engine.begin() as connection:
        connection.execute(text("""UPDATE clusters SET options = json_set(options, '$.network', 'none')"""))
    stop(bed, "demo-2")
    await watch.check()

    async def none_ready(*_: object) -> dict[str, bool]:
        return {"demo-1": False, "demo-2": False}

    monkeypatch.setattr(bed.orchestrator, "health", none_ready)
    operation = await bed.run(heals(bed, cluster)[0])
    assert operation.state is OperationState.SUCCEEDED
