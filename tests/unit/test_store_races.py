"""Many at once: each gets something of its own, or is told that another was faster. Nobody waits in vain."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from domain.clusters import SWARM, ClusterStatus
from domain.errors import CarinaError, ClusterBusy, ErrorRecord, NameTaken
from domain.operations import OPEN_STATES
from store.engine import make_engine
from store.migrate import upgrade
from store.repository import Repository
from store.tables import DEFAULT_TENANT
from store.views import IdempotencyKey
from tests.unit.store_stages import StoreFixture, at_once

ERROR = ErrorRecord("step-failed", "A step failed", "it broke", "mend it")


def test_one_of_many_creates_gets_the_name(store: StoreFixture) -> None:
    results = at_once([lambda name=name: store.create(name) for name in ("demo", "Demo", "DEMO", "dEmo") * 2])
    assert sum(not isinstance(result, CarinaError) for result in results) == 1
    assert sum(isinstance(result, NameTaken) for result in results) == 7
    assert len(store.repository.clusters(limit=10, marker=None).items) == 1


def test_one_key_sent_many_times_makes_one_cluster(store: StoreFixture) -> None:
    def create(name: str) -> tuple[str, bool]:
        accepted = store.repository.accept_create(
            name=name, cluster_type=SWARM, node_count=1, retain=False, idempotency=IdempotencyKey(name, "digest")
        )
        return accepted.cluster.id, accepted.replayed

    for number in range(8):
        results = at_once([lambda name=f"c{number}": create(name)] * 8)
        answers = [result for result in results if not isinstance(result, CarinaError)]
        assert len(answers) == 8, results
        assert len({cluster_id for cluster_id, _ in answers}) == 1
        assert sorted(replayed for _, replayed in answers) == [False] + [True] * 7


def test_clusters_that_reserve_at_once_share_nothing(store: StoreFixture) -> None:
    store.ready_host()
    operations = [store.begin(store.create(f"c{number}", 4)) for number in range(8)]
    results = at_once([lambda id_=id_: store.records.reserve_nodes(id_, 4) for id_ in operations for _ in range(2)])
    for first, again in zip(results[::2], results[1::2], strict=True):
        assert first == again
    clusters = store.repository.clusters(limit=10, marker=None).items
    facts = [fact for cluster in clusters for fact in store.records.nodes(cluster.id)]
    assert len(facts) == 32
    for held in ("address", "uid_base", "container", "veth"):
        assert len({getattr(fact.plan, held) for fact in facts}) == 32, held
    assert {cluster.subnet for cluster in clusters} == {f"10.64.{slot}.0/24" for slot in range(8)}


def test_one_of_many_changes_gets_the_cluster(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active()
    work: list[Callable[[], object]] = [
        lambda count=count: store.repository.accept_resize(cluster.id, count) for count in (1, 2, 4, 5)
    ]
    work += [
        lambda name=name: store.repository.accept_overlay(
            cluster.id, name=name, subnet=None, attachable=True, encrypted=False
        )
        for name in ("a", "b", "c")
    ]
    results = at_once(work)
    assert sum(isinstance(result, ClusterBusy) for result in results) == 6
    operations = store.repository.operations(cluster.id, limit=20, marker=None).items
    assert len([operation for operation in operations if operation.state in OPEN_STATES]) == 1


def test_many_forced_deletes_make_one(store: StoreFixture) -> None:
    accepted = store.create()
    store.begin(accepted)
    results = at_once([lambda: store.repository.accept_delete(accepted.cluster.id, force=True)] * 6)
    assert len({result.operation.id for result in results if not isinstance(result, CarinaError)}) == 1
    assert sum(not isinstance(result, CarinaError) and result.replayed for result in results) == 5


def test_a_forced_delete_and_the_end_of_a_create_agree(store: StoreFixture) -> None:
    store.ready_host()
    for number in range(5):
        accepted, _ = store.reserved(f"c{number}", 1)
        complete, deletion = at_once(
            [
                lambda id_=accepted.operation.id: store.records.complete_operation(id_),
                lambda id_=accepted.cluster.id: store.repository.accept_delete(id_, force=True),
            ]
        )
        assert complete is None
        assert not isinstance(deletion, CarinaError)
        cluster = store.repository.cluster(accepted.cluster.id)
        assert (cluster.status, cluster.operation_id) == (ClusterStatus.DELETING, deletion.operation.id)
        store.records.complete_operation(store.begin(deletion))


def test_a_host_is_prepared_once_however_many_ask(store: StoreFixture) -> None:
    host = store.ready_host()
    operations = at_once([lambda: store.outbox.accept_prepare_host(host.id)] * 6)
    assert len({operation.id for operation in operations}) == 1


_WRITER = """
import sys
from domain.instance import Instance
from store.engine import make_engine
from store.records import StoreRecords
records = StoreRecords(make_engine(sys.argv[1]), Instance("tst0"))
for number in range(100):
    step = f"{sys.argv[3]}-{number}"
    records.step_started(sys.argv[2], step, name="n", node=None, host=None, attempt=1)
    records.begin_operation(sys.argv[2], workflow_id="w", run_id="r")
    records.step_ended(sys.argv[2], step, attempt=1, error=None, note=None)
"""


def test_processes_that_write_one_sqlite_file_never_find_it_locked(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/carina.db"
    engine = make_engine(url)
    upgrade(engine)
    repository = Repository(engine, DEFAULT_TENANT)
    operation = repository.accept_create(
        name="demo", cluster_type=SWARM, node_count=1, retain=False, idempotency=None
    ).operation
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, url, operation.id, str(number)], stderr=subprocess.PIPE, text=True
        )
        for number in range(2)
    ]
    errors = [writer.communicate(timeout=60)[1] for writer in writers]
    assert errors == ["", ""]
    assert len(repository.operation(operation.id).steps) == 200
    engine.dispose()
