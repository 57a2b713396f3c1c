"""What a request's service call works with."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Engine

from api.launcher import Launcher
from api.ports import Unsealer
from api.waits import Waits
from store.repository import Repository


@dataclass(frozen=True, slots=True)
class Parts:
    """What all requests share. The app keeps it as `app.state.parts`."""

    engine: Engine
    launcher: Launcher
    vault: Unsealer
    waits: Waits


@dataclass(frozen=True, slots=True)
class Context:
    """One request's view: its owner's part of the store, and how accepted changes are started."""

    repository: Repository
    launcher: Launcher
    vault: Unsealer
    waits: Waits


async def _context(request: Request) -> Context:
    parts: Parts = request.app.state.parts
    return Context(Repository(parts.engine, request.state.tenant_id), parts.launcher, parts.vault, parts.waits)


InContext = Annotated[Context, Depends(_context)]
