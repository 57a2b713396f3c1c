"""Hosts: the machines that carry nodes. For administrators."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.concurrency import run_in_threadpool

from api.context import AdminContext
from domain.errors import HostKeyUnconfirmed, HostUnreachable, InvalidInput
from domain.host_input import AskedHost, check_host, check_host_key, check_host_name
from domain.hosts import HostReport
from domain.operations import OperationKind
from store.views import HostAccepted, HostNodeView, HostReportView, HostView, Page

KEY_TIMEOUT_S = 8.0
"""How long a machine has to present its key: clients wait for 10 s."""
PREVIEW_TIMEOUT_S = 120.0
_KINDS = {
    "drain": OperationKind.DRAIN_HOST,
    "prepare": OperationKind.PREPARE_HOST,
    "remove": OperationKind.REMOVE_HOST,
}


async def list_hosts(context: AdminContext, *, limit: int, marker: str | None, name: str | None) -> Page[HostView]:
    """Return hosts; with `name`, the one of that name in any case."""
    wanted = None if name is None else check_host_name(name)
    return await run_in_threadpool(context.hosts.hosts, limit=limit, marker=marker, name=wanted)


async def get_host(context: AdminContext, host_id: str) -> HostView:
    """Return a host; raise `NotFound`."""
    return await run_in_threadpool(context.hosts.host, host_id)


async def get_report(context: AdminContext, host_id: str) -> HostReportView:
    """Return what was last measured of a host; raise `NotFound`."""
    return await run_in_threadpool(context.hosts.report, host_id)


async def list_nodes(context: AdminContext, host_id: str, *, limit: int, marker: str | None) -> Page[HostNodeView]:
    """Return the nodes on a host, of all owners; raise `NotFound`."""
    return await run_in_threadpool(context.hosts.nodes, host_id, limit=limit, marker=marker)


async def add_host(context: AdminContext, asked: AskedHost) -> HostAccepted:
    """Accept a machine as a host, which is then prepared.

    Raises `InvalidInput`, `NameTaken`, `Conflict`, and, without a host key, `HostKeyUnconfirmed` with the one that the
    machine presents, or `HostUnreachable`.
    """
    wanted = check_host(asked)
    await run_in_threadpool(context.hosts.check_free, wanted)
    await _check_confirmed(context, wanted)
    accepted = await run_in_threadpool(context.hosts.accept_add, wanted, root=context.parts.host_root)
    context.parts.launcher.launch(accepted)
    return accepted


async def preview_host(context: AdminContext, asked: AskedHost) -> tuple[HostReport, Sequence[str]]:
    """Measure a machine, and say what preparing it would change, a sentence each. Nothing is stored or changed.

    Raises `InvalidInput`, `HostKeyUnconfirmed`, and what `HostProbes.preview` raises.
    """
    wanted = check_host(asked)
    await _check_confirmed(context, wanted)
    async with _bounded(wanted, PREVIEW_TIMEOUT_S):
        return await context.parts.host_probes.preview(wanted.host("", context.parts.host_root))


async def change_host(
    context: AdminContext, host_id: str, task: str, *, force: bool = False, host_key: str | None = None
) -> HostAccepted | HostView:
    """Accept a change to a host: the changed host where it was made at once, else what was accepted.

    `force` goes with a removal alone, `host_key` with a preparation: the key that is confirmed from now on.

    Raises `InvalidInput`, `NotFound`, `HostBusy`, `HostInUse`, `Conflict`.
    """
    if force and task != "remove":
        raise InvalidInput("Only a removal can be forced.", field="input.force", remedy="Leave it out.")
    if host_key is not None and task != "prepare":
        raise InvalidInput("Only a preparation takes a host key.", field="input.host_key", remedy="Leave it out.")
    confirmed = "" if host_key is None else check_host_key(host_key, field="input.host_key")
    if task in _KINDS:
        accepted = await run_in_threadpool(
            context.hosts.accept_task, host_id, _KINDS[task], force=force, host_key=confirmed
        )
        context.parts.launcher.launch(accepted)
        return accepted
    return await run_in_threadpool(context.hosts.set_cordoned, host_id, cordoned=task == "cordon")


async def _check_confirmed(context: AdminContext, wanted: AskedHost) -> None:
    if wanted.host_key:
        return
    async with _bounded(wanted, KEY_TIMEOUT_S):
        key, fingerprint = await context.parts.host_probes.presented_key(wanted.address, wanted.port)
    raise HostKeyUnconfirmed(
        f"The host at {wanted.address}, port {wanted.port}, presents the key {fingerprint} ({key.split()[0]}).",
        host_key=key,
    )


@asynccontextmanager
async def _bounded(wanted: AskedHost, timeout_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        raise HostUnreachable(
            f"The host at {wanted.address}, port {wanted.port}, did not answer within {timeout_s:.0f} s."
        ) from error
