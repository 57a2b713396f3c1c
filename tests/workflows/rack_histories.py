"""Scenarios over many hosts, of which histories are recorded: see `record_histories`."""

from collections.abc import Mapping

from workflow_testbed import Bed, Handle

from domain.errors import DiskFull, NoAddressLeft
from domain.hosts import Host
from domain.operations import OperationKind
from domain.publications import Protocol
from store.views import Accepted

Recorded = Mapping[str, Handle]


async def spanning(bed: Bed) -> Recorded:
    bed.rack(2)
    accepted = bed.accept_create(count=2)
    created = await ended(bed, accepted)
    cluster = bed.cluster(accepted)
    port, _view = bed.repository.accept_publish(cluster.id, host_port=80, node_port=30080, protocol=Protocol.TCP)
    published = await ended(bed, port)
    port, _view = bed.repository.accept_unpublish(cluster.id, 80, Protocol.TCP)
    withdrawn = await ended(bed, port)
    bed.trouble.fail("fabric.ensure_publications", NoAddressLeft("no port is left"), times=1)
    port, _view = bed.repository.accept_publish(cluster.id, host_port=81, node_port=30080, protocol=Protocol.TCP)
    return {
        "create-over-hosts": created,
        "publish": published,
        "unpublish": withdrawn,
        "publish-failed": await ended(bed, port),
    }


async def drain(bed: Bed) -> Recorded:
    hosts = bed.rack(3)
    cluster = await bed.active(count=3)
    places = {node.name: node.host for node in bed.node_views(cluster)}
    drained = next(host for host in hosts if host.name == places["demo-3"])
    managing = next(host for host in hosts if host.name == places["demo-1"])
    failed = await _host_task(bed, managing, OperationKind.DRAIN_HOST)
    done = await _host_task(bed, drained, OperationKind.DRAIN_HOST)
    moved = bed.started[-1]
    removed = await _host_task(bed, drained, OperationKind.REMOVE_HOST)
    return {"drain-host": done, "drain-host-failed": failed, "move": moved, "remove-host": removed}


async def drain_failed(bed: Bed) -> Recorded:
    hosts = bed.rack(3)
    cluster = await bed.active(count=3)
    places = {node.name: node.host for node in bed.node_views(cluster)}
    host = next(host for host in hosts if host.name == places["demo-2"])
    bed.trouble.fail("orchestrator.verify", DiskFull("no room to verify"))
    await _host_task(bed, host, OperationKind.DRAIN_HOST)
    undone = bed.started[-1]
    removed = await _host_task(bed, host, OperationKind.REMOVE_HOST, force=True)
    return {"move-failed": undone, "move-dead-failed": bed.started[-1], "remove-host-force": removed}


async def move_dead(bed: Bed) -> Recorded:
    hosts = bed.rack(3)
    cluster = await bed.active(count=3)
    places = {node.name: node.host for node in bed.node_views(cluster)}
    host = next(host for host in hosts if host.name == places["demo-2"])
    await _host_task(bed, host, OperationKind.REMOVE_HOST, force=True)
    return {"move-dead": bed.started[-1]}


async def _host_task(bed: Bed, host: Host, kind: OperationKind, *, force: bool = False) -> Handle:
    """Run an operation on a host; what was started last then is its last move, if there was one."""
    before = len(bed.started)
    await bed.run_task(host, kind, force=force)
    return bed.started[before]


async def ended(bed: Bed, accepted: Accepted) -> Handle:
    """Run an operation to its end."""
    handle = await bed.start(accepted.operation)
    await bed.end(handle)
    return handle
