"""What a request's service call works with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Engine

from api.launcher import Launcher
from api.ports import Credentials, HostProbes, Releases
from api.waits import Waits
from domain.clusters import ClusterType
from domain.errors import Forbidden
from store.archives import ArchiveFolder
from store.host_admin import HostAdmin
from store.repository import Repository
from store.tables import DEFAULT_TENANT


@dataclass(frozen=True, slots=True)
class Parts:
    """What all requests share. The app keeps it as `app.state.parts`."""

    engine: Engine
    launcher: Launcher
    credentials: Credentials
    archives: ArchiveFolder
    releases: Releases
    types: Sequence[ClusterType]
    waits: Waits
    host_probes: HostProbes
    host_root: str


@dataclass(frozen=True, slots=True)
class Context:
    """One request's view: its owner's part of the store, and what it shares with the others."""

    repository: Repository
    parts: Parts


@dataclass(frozen=True, slots=True)
class AdminContext:
    """One administrator's request: the hosts, and what is shared."""

    hosts: HostAdmin
    parts: Parts


async def _context(request: Request) -> Context:
    parts: Parts = request.app.state.parts
    return Context(Repository(parts.engine, request.state.tenant_id), parts)


async def _admin_context(request: Request) -> AdminContext:
    if request.state.tenant_id != DEFAULT_TENANT:
        raise Forbidden("Hosts are the administrator's to see and to change.")
    parts: Parts = request.app.state.parts
    return AdminContext(HostAdmin(parts.engine), parts)


InContext = Annotated[Context, Depends(_context)]
InAdminContext = Annotated[AdminContext, Depends(_admin_context)]
