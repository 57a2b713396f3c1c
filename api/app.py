"""The HTTP application (Carina API 1.0)."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fastapi import APIRouter, FastAPI, Security
from fastapi.security import APIKeyHeader
from sqlalchemy import Engine
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from api import errors, openapi
from api.context import Parts
from api.launcher import START_TIMEOUT_S, Launcher
from api.middleware import BodyLimit, Gate, HeadAsGet, RequestContext
from api.ports import Probe, Starter, Tokens, Unsealer
from api.routes import clusters, operations, overlays
from api.routes.system import VERSION, system_router
from api.waits import Waits


@dataclass(frozen=True, slots=True)
class ApiDependencies:
    """What the app is made of.

    `probes` are asked by /readyz, by name; `start_timeout_s` bounds one call to Temporal.
    """

    engine: Engine
    tokens: Tokens
    starter: Starter
    vault: Unsealer
    probes: Mapping[str, Probe] = field(default_factory=dict)
    start_timeout_s: float = START_TIMEOUT_S


def create_app(deps: ApiDependencies) -> FastAPI:
    """Return the application. It reads no settings and shares nothing with another app of the same process."""
    launcher = Launcher(deps.starter, start_timeout_s=deps.start_timeout_s)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await launcher.close()

    app = FastAPI(
        title="Carina",
        version=VERSION,
        description=openapi.DESCRIPTION,
        openapi_tags=openapi.TAGS,
        lifespan=lifespan,
        docs_url=None,  # `openapi` has a page of its own
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        middleware=[  # the outermost first
            Middleware(RequestContext),
            Middleware(HeadAsGet),
            Middleware(GZipMiddleware),
            Middleware(Gate, tokens=deps.tokens),
            Middleware(BodyLimit),
        ],
    )
    app.state.parts = Parts(deps.engine, launcher, deps.vault, Waits())
    errors.install(app)
    openapi.install(app)
    app.include_router(system_router(deps.probes))
    # The gate checks the token before anything is read; this only tells the documentation of it.
    token = Security(APIKeyHeader(name="X-Auth-Token", auto_error=False))
    guarded = APIRouter(dependencies=[token])
    for router in (clusters.router, overlays.router, operations.router):
        guarded.include_router(router)
    app.include_router(guarded)
    return app
