"""The API's description (OpenAPI 3.1)."""

from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

DESCRIPTION = """\
Docker Swarm and Kubernetes clusters on your own bare-metal Linux hosts, in seconds.

Send the token as `X-Auth-Token`, and, if you like, `API-Version: rax:container 1.0`. Changes are accepted at once with
status 202; the `Location` header names the operation to watch. Every error has the same body: code, title, detail,
what to do about it, and the request id that the service's log has it under.
"""
TAGS = [
    {"name": "clusters", "description": "Clusters, their nodes and their credentials."},
    {"name": "overlay networks", "description": "Networks on which a cluster's containers meet across nodes."},
    {"name": "container images", "description": "Images that all nodes of a cluster have, without a registry."},
    {"name": "published ports", "description": "Ports of hosts that lead to a cluster's nodes."},
    {"name": "hosts", "description": "The machines that carry nodes; for administrators."},
    {"name": "operations", "description": "Changes, step by step."},
    {"name": "system", "description": "Open to anyone, without a token."},
]


ASSETS = "/docs/assets"


def install(app: FastAPI) -> None:
    """Give the app its description and the page at /docs.

    The description holds the errors that are really answered: FastAPI's own 422 never shows. The page's script comes
    from a Python package: it works without the Internet, and no stranger's server has a say in where tokens are typed.
    """

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app)
        return app.openapi_schema

    async def page() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Carina API",
            swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS}/favicon.png",
        )

    app.openapi = describe  # type: ignore[method-assign]  # the way that FastAPI documents
    app.get("/docs", include_in_schema=False)(page)
    app.mount(ASSETS, StaticFiles(directory=str(files("fastapi_offline") / "static")))


def _describe(app: FastAPI) -> dict[str, Any]:
    schema = get_openapi(
        title=app.title, version=app.version, description=app.description, tags=app.openapi_tags, routes=app.routes
    )
    for path in schema["paths"].values():
        for call in path.values():
            call["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)
    return schema
