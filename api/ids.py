"""Ids as they come in paths and markers."""

import uuid
from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator

from domain.errors import InvalidInput, NotFound


def _canonical(value: str) -> str | None:
    """Return a UUID in its one spelling (RFC 9562), None for anything else."""
    try:
        spelled = str(uuid.UUID(value))
    except ValueError:
        return None
    return spelled if spelled == value.lower() else None


def _cluster_id(value: str) -> str:
    found = _canonical(value)
    if found is None:
        raise NotFound(f"There is no cluster {value[:64]!r}.")
    return found


def _operation_id(value: str) -> str:
    found = _canonical(value)
    if found is None:
        raise NotFound(f"There is no operation {value[:64]!r}.")
    return found


def _host_id(value: str) -> str:
    found = _canonical(value)
    if found is None:
        raise NotFound(f"There is no host {value[:64]!r}.")
    return found


def check_marker(marker: str | None) -> str | None:
    """Return the marker of a list by id; raise `InvalidInput` where it is no id."""
    if marker is None:
        return None
    found = _canonical(marker)
    if found is None:
        raise InvalidInput(f"The marker {marker!r} is no id.", field="marker", remedy="Take the list's 'next' link.")
    return found


ClusterId = Annotated[str, AfterValidator(_cluster_id), Path(json_schema_extra={"format": "uuid"})]
HostId = Annotated[str, AfterValidator(_host_id), Path(json_schema_extra={"format": "uuid"})]
OperationId = Annotated[str, AfterValidator(_operation_id), Path(json_schema_extra={"format": "uuid"})]
