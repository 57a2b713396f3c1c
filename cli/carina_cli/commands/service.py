"""status: whether the service is there and well."""

import typer

from carina_cli.config import DEFAULT_ENDPOINT
from carina_cli.errors import FAILED
from carina_cli.options import EndpointOption, OutputOption, connect
from carina_cli.output import Format, print_fields, print_json


def status(*, endpoint: EndpointOption = DEFAULT_ENDPOINT, output: OutputOption = Format.TABLE) -> None:
    """Say whether the service is ready. Needs no token; the exit code is 1 if it is not."""
    with connect(endpoint) as client:
        readiness = client.readiness()
    checks = readiness["checks"]
    if output is Format.JSON:
        print_json(readiness)
    else:
        title = [("Endpoint", endpoint), ("Status", readiness.get("status"))]
        print_fields([*title, *((name.capitalize(), state) for name, state in checks.items())])
    if any(state != "ok" for state in checks.values()):
        raise typer.Exit(FAILED)
