"""What a request's service call works with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Engine

from api.launcher import Launcher
from api.ports import Credentials, Releases
from api.waits import Waits
from domain.clusters import ClusterType
from store.archives import ArchiveFolder
from store.repository import Repository


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


@dataclass(frozen=True, slots=True)
class Context:
    """One request's view: its owner's part of the store, and what it shares with the others."""

    repository: Repository
    parts: Parts


async def _context(request: Request) -> Context:
    parts: Parts = request.app.state.parts
    return Context(Repository(parts.engine, request.state.tenant_id), parts)


InContext = Annotated[Context, Depends(_context)]
