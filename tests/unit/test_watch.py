"""The watch over clusters on many hosts: one that is silent is said to be, and keeps no other from being looked at."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from activities.ports import Nodes, Orchestrator
from activities.secrets import ClusterSecrets
from domain.clusters import Health, Severity
from domain.conditions import HOST_UNREACHABLE, NO_SERVICE_VIPS, NODE_STOPPED
from domain.errors import HostUnreachable, PoolNotMounted
from domain.hosts import Host
from domain.instance import Instance
from domain.nodes import FoundNode, Segment, Stamp
from domain.operations import OperationKind
from domain.options import AskedOptions
from drivers.fakes.fabric import FakeFabric
from drivers.vault import FileVault
from store.engine import make_engine
from store.host_admin import HostAdmin
from store.migrate import upgrade
from store.outbox import Outbox
from store.records import StoreRecords
from store.repository import Repository
from store.tables import DEFAULT_TENANT
from store.views import ClusterView
from tests.unit.store_stages import StoreFixture
from worker import rules
from worker import watch as watch_module
from worker.host_looks import HostLooks
from worker.watch import Watch


class Rack:
    """Hosts of which one may hang or be cut off, with all nodes that are recorded on them; `stopped` don't run."""

    def __init__(self, store: StoreFixture) -> None:
        self._store = store
        self.stopped: set[str] = set()
        self.cut_off: set[str] = set()
        self.poolless: set[str] = set()
        self.hanging: set[str] = set()
        self.slow: dict[str, asyncio.Event] = {}
        self.looks: list[str] = []
        self.under_way: list[str] = []

    async def found(self, host: Host) -> Sequence[FoundNode]:
        assert host.name not in self.under_way, "a host is asked once at a time"
        self.looks.append(host.name)
        self.under_way.append(host.name)
        try:
            if host.name in self.poolless:
                raise PoolNotMounted("the storage pool is not mounted")
            if host.name in self.cut_off:
                raise HostUnreachable("no route to host")
            if host.name in self.hanging:
                await asyncio.Event().wait()
            if host.name in self.slow:
                await self.slow[host.name].wait()
            nodes = [node for cluster in self._store.records.watched_clusters() for node in cluster.nodes]
            return [
                FoundNode(node.plan.container, Stamp("tst0", "", "", ""), node.ref.name not in self.stopped, 1.0)
                for node in nodes
                if node.ref.host == host.name
            ]
        finally:
            self.under_way.remove(host.name)

    async def health(self, *_: object) -> Mapping[str, bool]:
        nodes = [node for cluster in self._store.records.watched_clusters() for node in cluster.nodes]
        return {node.ref.name: True for node in nodes}


@pytest.fixture
def store(tmp_path: Path) -> StoreFixture:
    engine = make_engine(f"sqlite:///{tmp_path}/carina.db")
    upgrade(engine)
    records = StoreRecords(engine, Instance("tst0"))
    return StoreFixture(engine, Repository(engine, DEFAULT_TENANT), records, Outbox(engine))


@pytest.fixture
def rack(store: StoreFixture) -> Rack:
    return Rack(store)


@pytest.fixture
def fabric() -> FakeFabric:
    return FakeFabric()


@pytest.fixture
def watch(
    store: StoreFixture, rack: Rack, fabric: FakeFabric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Watch:
    monkeypatch.setattr(watch_module, "CHECK_WAIT_S", 0.5)
    secrets = ClusterSecrets(store.records, FileVault(tmp_path / "vault.key"))
    monkeypatch.setattr(secrets, "access", lambda _cluster_id: None)
    nodes = cast("Nodes", rack)
    looks = HostLooks(nodes, timeout_s=1.0)
    orchestrators = {"swarm": cast("Orchestrator", rack)}
    return Watch(store.records, secrets, nodes, fabric, orchestrators, period_s=15, looks=looks)


def a_segment() -> Segment:
    return Segment("c1", "tst0-br1", cidr="10.99.0.0/24", gateway="10.99.0.1", mtu=1450)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def told(store: StoreFixture, cluster: ClusterView) -> list[tuple[str, str | None]]:
    conditions = store.repository.cluster(cluster.id).conditions
    return [(each.type, each.node or each.host) for each in conditions if each.severity is Severity.FAULT]


def on(store: StoreFixture, name: str, *hosts: str, count: int = 1) -> ClusterView:
    return store.active(name, count, options=AskedOptions(hosts=hosts))


async def test_a_silent_host_is_said_of_each_of_its_clusters_with_their_nodes(
    store: StoreFixture, rack: Rack, watch: Watch
) -> None:
    store.rack(1)
    store.rack(2)
    both, other = store.active("both", 3), on(store, "other", "rack1")
    rack.cut_off.add("rack2")
    await watch.check()
    assert (told(store, both), told(store, other)) == ([], []), "one look may fail"
    await watch.check()
    assert (told(store, both), told(store, other)) == ([(HOST_UNREACHABLE, "rack2")], [])
    (condition, _limit) = store.repository.cluster(both.id).conditions
    assert condition.message.startswith(
        "The host rack2 can't be reached: no route to host. Whether both-2 on it still run can't be told."
    )
    assert store.repository.cluster(both.id).health is Health.DEGRADED
    await watch.check()
    assert store.repository.cluster(both.id).conditions[0].since == condition.since
    rack.cut_off.clear()
    await watch.check()
    await watch.check()
    assert (told(store, both), store.repository.cluster(both.id).health) == ([], Health.HEALTHY)


async def test_a_host_that_hangs_keeps_no_other_from_being_looked_at(
    store: StoreFixture, rack: Rack, watch: Watch
) -> None:
    for number in (1, 2, 3):
        store.rack(number)
    lost, spanning, other = on(store, "lost", "rack1"), store.active("spanning", 3), on(store, "other", "rack3")
    rack.hanging.add("rack1")
    rack.stopped.add("other-1")
    await watch.check()
    assert told(store, other) == [(NODE_STOPPED, "other-1")], "in the same check"
    for _ in range(20):
        if all((HOST_UNREACHABLE, "rack1") in told(store, cluster) for cluster in (lost, spanning)):
            break
        await watch.check()
    assert told(store, lost) == [(HOST_UNREACHABLE, "rack1")]
    assert told(store, spanning) == [(HOST_UNREACHABLE, "rack1")]
    rack.stopped.add("spanning-2")
    await watch.check()
    told_now = [(NODE_STOPPED, "spanning-2"), (HOST_UNREACHABLE, "rack1")]
    assert told(store, spanning) == told_now, "a host that is known to be silent is not waited for: a look takes longer"


async def test_a_slow_host_counts_once_it_has_answered(store: StoreFixture, rack: Rack, watch: Watch) -> None:
    store.rack(1)
    cluster = on(store, "slow", "rack1")
    rack.slow["rack1"] = asyncio.Event()
    rack.stopped.add("slow-1")
    await watch.check()
    assert told(store, cluster) == []
    rack.slow["rack1"].set()
    await watch.check()
    assert (told(store, cluster), rack.looks[1:]) == ([(NODE_STOPPED, "slow-1")], ["rack1"])


async def test_rules_that_something_flushed_are_brought_back_on_hosts_that_answer(
    store: StoreFixture, rack: Rack, watch: Watch, fabric: FakeFabric, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        store.rack(number)
    rack.cut_off.add("rack2")
    fabric.segments = {(host_id, "tst0-br1"): a_segment() for host_id in ("rack-1", "rack-2")}
    fabric.flushed = {"rack-1", "rack-2"}
    await watch.check()
    await settled()
    assert fabric.flushed == {"rack-2"}
    fabric.flushed.add("rack-1")
    rack.cut_off.clear()
    for _ in range(2):
        await watch.check()
    await settled()
    assert fabric.flushed == {"rack-1", "rack-2"}, "not at every look"
    monkeypatch.setattr(rules, "EVERY_S", 0.0)
    await watch.check()
    await settled()
    assert fabric.flushed == set()


async def test_whether_hosts_answer_is_known_also_of_those_without_nodes(
    store: StoreFixture, rack: Rack, watch: Watch
) -> None:
    store.rack(1)
    store.rack(2)
    admin = HostAdmin(store.engine)
    rack.cut_off.add("rack1")
    rack.hanging.add("rack2")
    await watch.check()
    assert [admin.host(id_).unreachable for id_ in ("rack-1", "rack-2")] == [None, None], "one look may fail"
    for _ in range(10):
        await watch.check()
    first, second = admin.host("rack-1").unreachable, admin.host("rack-2").unreachable
    assert first is not None
    assert first.reason == "no route to host"
    assert second is not None
    assert second.reason == "there was no answer within 1 s"
    rack.hanging.clear()
    rack.cut_off.clear()
    await asyncio.sleep(1.1)  # the look that hangs has ended by then
    for _ in range(2):
        await watch.check()
    assert [admin.host(id_).unreachable for id_ in ("rack-1", "rack-2")] == [None, None]


async def test_a_new_watch_leaves_what_was_known_of_a_host_until_it_knows_more(
    store: StoreFixture, rack: Rack, watch: Watch
) -> None:
    store.rack(1)
    admin = HostAdmin(store.engine)
    store.records.record_answers({"rack-1": "no route to host"})
    before = admin.host("rack-1").unreachable
    rack.cut_off.add("rack1")
    for _ in range(3):
        await watch.check()
        assert admin.host("rack-1").unreachable == before
    rack.cut_off.clear()
    await watch.check()
    assert admin.host("rack-1").unreachable is None


async def test_a_host_that_came_back_without_its_pool_is_prepared_anew_and_loses_no_node(
    store: StoreFixture, rack: Rack, watch: Watch
) -> None:
    store.rack(1)
    cluster = on(store, "demo", "rack1")
    rack.poolless.add("rack1")
    for _ in range(3):
        await watch.check()
    (operation,) = Outbox(store.engine).pending(older_than_s=0)
    assert (operation.kind, operation.host_id) == (OperationKind.PREPARE_HOST, "rack-1")
    assert [kind for kind, _ in told(store, cluster)] == [HOST_UNREACHABLE], "nothing is said to be gone"


async def test_what_was_seen_before_a_change_is_not_said_after_it(
    store: StoreFixture, rack: Rack, watch: Watch
) -> None:
    store.rack(1)
    cluster = on(store, "demo", "rack1", count=2)
    rack.slow["rack1"] = asyncio.Event()
    rack.stopped.add("demo-2")
    await watch.check()
    shrink = store.repository.accept_resize(cluster.id, 1)
    assert shrink is not None
    (removed,) = store.records.choose_removals(store.begin(shrink), 1)
    store.records.release_nodes(cluster.id, [removed.id])
    store.records.complete_operation(shrink.operation.id)
    rack.slow["rack1"].set()
    await watch.check()
    assert told(store, cluster) == []
    await watch.check()
    assert (told(store, cluster), store.repository.cluster(cluster.id).operation_id) == ([], None)


async def test_what_was_said_of_a_host_goes_with_the_clusters_last_node_on_it(
    store: StoreFixture, rack: Rack, watch: Watch
) -> None:
    store.rack(1)
    store.rack(2)
    cluster = store.active("demo", 2)
    rack.cut_off.add("rack2")
    await watch.check()
    await watch.check()
    assert told(store, cluster) == [(HOST_UNREACHABLE, "rack2")]
    store.records.release_nodes(cluster.id, [store.records.nodes(cluster.id)[1].ref.id])
    await watch.check()
    assert told(store, cluster) == []


async def test_a_host_that_is_being_changed_leaves_what_was_said_of_it(
    store: StoreFixture, rack: Rack, watch: Watch
) -> None:
    host = store.rack(1)
    cluster = on(store, "demo", "rack1")
    rack.cut_off.add("rack1")
    await watch.check()
    await watch.check()
    HostAdmin(store.engine).accept_task(host.id, OperationKind.PREPARE_HOST)
    rack.cut_off.clear()
    await watch.check()
    assert told(store, cluster) == [(HOST_UNREACHABLE, "rack1")]


async def test_limits_follow_what_hosts_can_do_and_are_no_ill_health(
    store: StoreFixture, rack: Rack, watch: Watch
) -> None:
    host = store.rack(1)
    store.rack(2, capabilities=frozenset({"ipvs"}))
    cluster = store.active("demo", 2)
    (limit,) = cluster.conditions
    assert (limit.type, limit.severity, cluster.health) == (NO_SERVICE_VIPS, Severity.LIMIT, Health.HEALTHY)
    assert limit.message == (
        "service VIPs and the ingress mesh don't work here; use --endpoint-mode dnsrr and publish mode=host "
        "(hosts without IPVS: rack1)"
    )
    await watch.check()
    assert store.repository.cluster(cluster.id) == cluster, "nothing is news"
    store.records.record_host(replace(host, capabilities=frozenset({"ipvs"})), None)
    await watch.check()
    assert store.repository.cluster(cluster.id).conditions == ()
