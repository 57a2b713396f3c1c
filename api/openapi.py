"""The API's description (OpenAPI 3.1)."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

DESCRIPTION = """\
Docker Swarm and Kubernetes clusters on your own bare-metal Linux hosts, in seconds.

Send the token as `X-Auth-Token`, and, if you like, `API-Version: rax:container 1.0`. Changes are accepted at once with
status 202; the `Location` header names the operation to watch. Every error has the same body: code, title, detail,
what to do about it, and the request id that the service's log has it under.
"""
TAGS = [
    {"name": "clusters", "description": "Clusters, their nodes and their credentials."},
    {"name": "overlay networks", "description": "Networks on which a cluster's containers meet across nodes."},
    {"name": "operations", "description": "Changes, step by step."},
    {"name": "system", "description": "Open to anyone, without a token."},
]


def install(app: FastAPI) -> None:
    """Make the app describe the errors that it really answers with: FastAPI's own 422 never shows."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]  # the way that FastAPI documents


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
