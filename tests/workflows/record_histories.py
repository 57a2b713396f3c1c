"""Records a history of each workflow anew, for the replay test: run it when workflows were changed on purpose.

    .venv/bin/python tests/workflows/record_histories.py

Each scenario runs on a real Temporal server with drivers that only remember; its history goes to `histories/`. What
names the machine that recorded it (identities, stack traces) is left out.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from rack_histories import Recorded, drain, drain_failed, ended, move_dead, spanning  # noqa: E402
from sqlalchemy import Engine  # noqa: E402 - the path comes first
from workflow_testbed import Bed, Handle, running, start_real_server  # noqa: E402

from domain.errors import DiskFull, ImageLoadFailed  # noqa: E402
from domain.hosts import CAP_ESP  # noqa: E402
from domain.nodes import NodePlan  # noqa: E402
from store.engine import make_engine  # noqa: E402
from store.migrate import upgrade  # noqa: E402
from store.views import Accepted  # noqa: E402
from workflows.names import cluster_workflow_id  # noqa: E402

HISTORIES = Path(__file__).parent / "histories"


async def _cancelled(bed: Bed, accepted: Accepted, call: str, on: str | None = None) -> Handle:
    held = bed.trouble.hold(call, on=on)
    handle = await bed.start(accepted.operation)
    await held.wait_reached()
    await handle.cancel()
    await bed.end(handle)
    return handle


async def create(bed: Bed) -> Recorded:
    accepted = bed.accept_create(count=3)
    handle = await ended(bed, accepted)
    child = bed.client.get_workflow_handle(f"{cluster_workflow_id(accepted.cluster.id)}-overlay")
    return {"create": handle, "create-overlay": child}


async def create_failed(bed: Bed) -> Recorded:
    bed.trouble.fail("orchestrator.join", DiskFull("the pool is full"), on="demo-2")
    return {"create-failed": await ended(bed, bed.accept_create(count=3))}


async def create_retained(bed: Bed) -> Recorded:
    bed.trouble.fail("nodes.ensure", DiskFull("the pool is full"), on="demo-2")
    return {"create-retained": await ended(bed, bed.accept_create(count=2, retain=True))}


async def create_cancelled(bed: Bed) -> Recorded:
    return {"create-cancelled": await _cancelled(bed, bed.accept_create(count=2), "nodes.ensure", "demo-2")}


async def create_cancelled_in_overlay(bed: Bed) -> Recorded:
    accepted = bed.accept_create(count=1)
    handle = await _cancelled(bed, accepted, "orchestrator.verify")
    child = bed.client.get_workflow_handle(f"{cluster_workflow_id(accepted.cluster.id)}-overlay")
    return {"create-cancelled-late": handle, "create-overlay-cancelled": child}


async def grow(bed: Bed) -> Recorded:
    cluster = await bed.active(count=1)
    return {"grow": await ended(bed, bed.accept_resize(cluster.id, 3))}


async def grow_failed(bed: Bed) -> Recorded:
    cluster = await bed.active(count=1)
    bed.trouble.fail("nodes.ensure", DiskFull("the pool is full"), on="demo-3")
    return {"grow-failed": await ended(bed, bed.accept_resize(cluster.id, 4))}


async def shrink(bed: Bed) -> Recorded:
    cluster = await bed.active(count=3)
    return {"shrink": await ended(bed, bed.accept_resize(cluster.id, 1))}


async def shrink_failed(bed: Bed) -> Recorded:
    cluster = await bed.active(count=3)
    bed.trouble.fail("orchestrator.drain", DiskFull("no room elsewhere"), on="demo-3")
    return {"shrink-failed": await ended(bed, bed.accept_resize(cluster.id, 1))}


async def overlays(bed: Bed) -> Recorded:
    cluster = await bed.active(count=2)
    added = await ended(bed, bed.accept_overlay(cluster.id))
    removal, _view = bed.repository.accept_overlay_removal(cluster.id, "extra")
    removed = await ended(bed, removal)
    bed.trouble.fail("orchestrator.verify", DiskFull("no room to verify"))
    return {
        "overlay-add": added,
        "overlay-remove": removed,
        "overlay-add-failed": await ended(bed, bed.accept_overlay(cluster.id, "broken")),
    }


async def delete(bed: Bed) -> Recorded:
    cluster = await bed.active(count=3)
    bed.trouble.fail("nodes.remove", DiskFull("it does not go"), on="demo-3")
    return {"delete": await ended(bed, bed.repository.accept_delete(cluster.id, force=False))}


async def prepare_host(bed: Bed) -> Recorded:
    await bed.active(count=2)
    bed.nodes.running.clear()
    host = bed.ready_host(capabilities=[CAP_ESP])
    handle = await bed.start(bed.outbox.accept_prepare_host(host.id))
    await bed.end(handle)
    bed.trouble.fail("hosts.ensure_prepared", DiskFull("the disk is full"))
    failed = await bed.start(bed.outbox.accept_prepare_host(host.id))
    await bed.end(failed)
    return {"prepare-host": handle, "prepare-host-failed": failed}


async def heal(bed: Bed) -> Recorded:
    cluster = await bed.active(count=2)
    bed.nodes.running.clear()
    healed = await _healed(bed, cluster.id)
    bed.nodes.running.clear()
    bed.trouble.fail("nodes.ensure", DiskFull("the pool is full"), on="demo-2")
    return {"heal": healed, "heal-failed": await _healed(bed, cluster.id)}


async def _healed(bed: Bed, cluster_id: str) -> Handle:
    operation_id = bed.records.accept_heal(cluster_id)
    assert operation_id is not None
    handle = await bed.start(bed.repository.operation(operation_id))
    await bed.end(handle)
    return handle


async def load_image(bed: Bed) -> Recorded:
    cluster = await bed.active(count=2)
    loaded = await ended(bed, bed.accept_image(cluster))
    bed.trouble.fail("orchestrator.load_image", ImageLoadFailed("no space left on device"), on="demo-2")
    return {"load-image": loaded, "load-image-failed": await ended(bed, bed.accept_image(cluster, b"another"))}


async def sweep(bed: Bed) -> Recorded:
    cluster = await bed.active(count=1)
    plan = next(iter(bed.nodes.plans.values()))
    orphan = orphan_of(plan)
    bed.nodes.plans[orphan.container] = orphan
    bed.fabric.segments[plan.host.id, "tst0-br9"] = replace(plan.segment, cluster_id=orphan.stamp.cluster_id)
    await bed.sweep()
    child = bed.client.get_workflow_handle(cluster_workflow_id(orphan.stamp.cluster_id))
    busy = replace(orphan, container="tst0-demo-9-999999", stamp=replace(plan.stamp, node_id="gone"))
    bed.nodes.plans[busy.container] = busy
    swept = bed.started[-1]
    held = bed.trouble.hold("orchestrator.verify")
    growing = await bed.start(bed.accept_resize(cluster.id, 2).operation)
    await held.wait_reached()
    await bed.sweep()
    held.release()
    await bed.end(growing)
    return {"sweep": swept, "sweep-cluster": child, "sweep-busy": bed.started[-1]}


def orphan_of(plan: NodePlan) -> NodePlan:
    """Return a node like `plan`, of a cluster that no row tells of."""
    cluster_id = "0192b6b0-0000-7000-8000-000000000000"
    return replace(
        plan,
        name="gone-1",
        container="tst0-gone-1-abcdef",
        stamp=replace(plan.stamp, cluster_id=cluster_id, node_id="gone"),
    )


SCENARIOS: tuple[Callable[[Bed], Awaitable[Recorded]], ...] = (
    create,
    create_failed,
    create_retained,
    create_cancelled,
    create_cancelled_in_overlay,
    grow,
    grow_failed,
    shrink,
    shrink_failed,
    overlays,
    delete,
    prepare_host,
    spanning,
    drain,
    drain_failed,
    move_dead,
    heal,
    load_image,
    sweep,
)


def anonymous(value: Any) -> Any:
    """Return a history without what tells of the machine that recorded it."""
    if isinstance(value, dict):
        return {
            key: "carina" if key == "identity" else anonymous(inner)
            for key, inner in value.items()
            if key != "stackTrace"
        }
    return [anonymous(inner) for inner in value] if isinstance(value, list) else value


@contextmanager
def _database(directory: Path) -> Iterator[Engine]:
    engine = make_engine(f"sqlite:///{directory}/carina.db")
    upgrade(engine)
    yield engine
    engine.dispose()


async def record() -> None:
    """Record all scenarios."""
    histories: dict[str, str] = {}
    async with await start_real_server() as server:
        for scenario in SCENARIOS:
            with tempfile.TemporaryDirectory() as directory, _database(Path(directory)) as engine:
                bed = Bed(server.client, engine, Path(directory) / "vault.key")
                bed.ready_host()
                async with running(bed):
                    recorded = await scenario(bed)
                    for name, handle in recorded.items():
                        history = await bed.this_run(handle).fetch_history()
                        histories[name] = json.dumps(anonymous(history.to_json_dict()), indent=1)
    for old in HISTORIES.glob("*.json"):
        old.unlink()
    for name, text in histories.items():
        (HISTORIES / f"{name}.json").write_text(text + "\n")
        print(name)  # noqa: T201 - a command says what it did


if __name__ == "__main__":
    asyncio.run(record())
