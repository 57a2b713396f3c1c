"""The HTTP application (Carina API 1.0)."""

from collections.abc import AsyncIterator, Mapping, Sequence
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
from api.middleware import MAX_UPLOAD_BYTES, BodyLimit, Gate, HeadAsGet, RequestContext
from api.ports import Credentials, HostProbes, Probe, Releases, Starter, Tokens
from api.routes import clusters, hosts, images, operations, overlays, publications
from api.routes.system import VERSION, system_router
from api.waits import Waits
from domain.clusters import ClusterType, cluster_types
from store.archives import ArchiveFolder


@dataclass(frozen=True, slots=True)
class ApiDependencies:
    """What the app is made of.

    `types` are what clusters can be made of, where there is a release of them. `probes` are asked by /readyz, by name;
    `start_timeout_s` bounds one call to Temporal, `max_upload_bytes` an archive of container images. `host_root` is the
    directory on added hosts that holds all that the instance keeps there.
    """

    engine: Engine
    tokens: Tokens
    starter: Starter
    credentials: Credentials
    archives: ArchiveFolder
    releases: Releases
    host_probes: HostProbes
    types: Sequence[ClusterType] = field(default_factory=cluster_types)
    probes: Mapping[str, Probe] = field(default_factory=dict)
    start_timeout_s: float = START_TIMEOUT_S
    max_upload_bytes: int = MAX_UPLOAD_BYTES
    host_root: str = "/var/lib/carina-host"


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
            Middleware(BodyLimit, max_upload_bytes=deps.max_upload_bytes),
        ],
    )
    app.state.parts = Parts(
        deps.engine,
        launcher,
        deps.credentials,
        deps.archives,
        deps.releases,
        tuple(deps.types),
        Waits(),
        deps.host_probes,
        deps.host_root,
    )
    errors.install(app)
    openapi.install(app)
    app.include_router(system_router(deps.probes))
    # The gate checks the token before anything is read; this only tells the documentation of it.
    token = Security(APIKeyHeader(name="X-Auth-Token", auto_error=False))
    guarded = APIRouter(dependencies=[token])
    for part in (clusters, overlays, images, publications, hosts, operations):
        guarded.include_router(part.router)
    app.include_router(guarded)
    return app
