"""What anyone may ask: what this is, whether the process serves, and whether it can do its work."""

from collections.abc import Mapping
from importlib.metadata import version

from fastapi import APIRouter, Response

from api.errors import API_VERSION
from api.ports import Probe
from api.probes import OK, check_all
from api.schemas import AboutOut, HealthOut, ReadinessOut

VERSION = version("carina")


def system_router(probes: Mapping[str, Probe]) -> APIRouter:
    """Return the routes; `probes` are asked by /readyz, by name."""
    router = APIRouter(tags=["system"])

    @router.get("/", summary="What this is")
    async def about() -> AboutOut:
        """Return the service's name and versions, and where its documentation is."""
        return AboutOut(name="Carina", version=VERSION, api_versions=[API_VERSION], docs="/docs")

    @router.get("/healthz", summary="Whether the process serves")
    async def health() -> HealthOut:
        """Return ok, always: that it answers is the answer."""
        return HealthOut()

    @router.get(
        "/readyz",
        summary="Whether every part of the service answers",
        responses={503: {"model": ReadinessOut, "description": "A part does not answer; the check says why."}},
    )
    async def readiness(response: Response) -> ReadinessOut:
        """Return what each part says, with status 503 unless all of them are ok."""
        checks = await check_all(probes)
        if all(state == OK for state in checks.values()):
            return ReadinessOut(status="ok", checks=checks)
        response.status_code = 503
        return ReadinessOut(status="unavailable", checks=checks)

    return router
