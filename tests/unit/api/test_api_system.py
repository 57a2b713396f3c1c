import asyncio
import re
from importlib.metadata import version
from pathlib import Path

from api_testbed import TENANT, TOKEN, Testbed, problem

from api.probes import check_all
from api.tokens import AdminToken, digest
from domain.errors import Unavailable


def _replace_by_directory(database: Path) -> None:
    database.unlink()
    database.mkdir()


async def test_health_and_readiness(bed: Testbed) -> None:
    assert await bed.get("/healthz") == {"status": "ok"}
    assert await bed.get("/readyz") == {"status": "ok", "checks": {"database": "ok"}}


async def test_readiness_is_a_503_that_says_which_part_is_missing(bed: Testbed) -> None:
    bed.engine.dispose()
    _replace_by_directory(Path(str(bed.engine.url.database)))
    response = await bed.http.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "checks": {"database": "does not answer"}}
    assert (await bed.http.get("/healthz")).status_code == 200


async def test_probes_are_asked_at_once_and_one_that_fails_hides_no_other() -> None:
    both = asyncio.Barrier(2)

    async def fine() -> None:
        await both.wait()

    async def foreseen() -> None:
        await both.wait()
        raise Unavailable("The image is being built.")

    async def unforeseen() -> None:
        raise RuntimeError("with a secret inside")

    assert await check_all({"a": fine, "b": foreseen, "c": unforeseen}) == {
        "a": "ok",
        "b": "The image is being built.",
        "c": "does not answer",
    }


async def test_the_root_says_where_the_documentation_is(bed: Testbed) -> None:
    assert await bed.get("/") == {
        "name": "Carina",
        "version": version("carina"),
        "api_versions": ["1.0"],
        "docs": "/docs",
    }


async def test_the_documentation_needs_no_other_server(bed: Testbed) -> None:
    bed.http.headers.pop("X-Auth-Token")
    page = (await bed.http.get("/docs")).text
    assert "//" not in "".join(re.findall(r'(?:src|href)="([^"]*)"', page))
    for asset in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert (await bed.http.get(asset)).status_code == 200
    assert problem(await bed.http.get("/docs/assets/..%2f__init__.py"), 404)["code"] == "not-found"


async def test_the_description_names_every_path_and_only_errors_that_happen(bed: Testbed) -> None:
    schema = await bed.get("/openapi.json")
    assert set(schema["paths"]) == {
        "/",
        "/healthz",
        "/readyz",
        "/cluster_types",
        "/clusters",
        "/clusters/{cluster_id}",
        "/clusters/{cluster_id}/tasks",
        "/clusters/{cluster_id}/nodes",
        "/clusters/{cluster_id}/credentials/zip",
        "/clusters/{cluster_id}/overlays",
        "/clusters/{cluster_id}/overlays/{name}",
        "/clusters/{cluster_id}/images",
        "/clusters/{cluster_id}/images/{digest}",
        "/clusters/{cluster_id}/operations",
        "/clusters/{cluster_id}/publications",
        "/clusters/{cluster_id}/publications/{host_port}/{protocol}",
        "/hosts",
        "/hosts/preview",
        "/hosts/{host_id}",
        "/hosts/{host_id}/report",
        "/hosts/{host_id}/nodes",
        "/hosts/{host_id}/tasks",
        "/operations/{operation_id}",
    }
    for path, calls in schema["paths"].items():
        for call in calls.values():
            assert call["summary"]
            assert call["tags"]
            assert "422" not in call["responses"]
            is_open = path in {"/", "/healthz", "/readyz"}
            assert ("401" in call["responses"]) is not is_open
            assert ("security" in call) is not is_open
    assert "HTTPValidationError" not in schema["components"]["schemas"]


def test_only_the_token_speaks_for_the_administrator() -> None:
    token = AdminToken(digest(TOKEN), TENANT)
    assert token.owner(TOKEN) == TENANT
    assert token.owner("") is None
    assert token.owner(TOKEN + " ") is None
    assert TOKEN not in repr(token)
