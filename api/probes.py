"""Whether the parts that the API stands on answer."""

import asyncio
from collections.abc import Mapping

import structlog
from sqlalchemy import Engine, text
from starlette.concurrency import run_in_threadpool

from api.ports import Probe
from domain.errors import CarinaError

PROBE_TIMEOUT_S = 2.0
OK = "ok"
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def database_probe(engine: Engine) -> Probe:
    """Return a probe that asks the database for one row."""

    def ask() -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    async def probe() -> None:
        await run_in_threadpool(ask)

    return probe


async def check_all(probes: Mapping[str, Probe]) -> dict[str, str]:
    """Ask every part at once; return, by name, `ok` or what is wrong in words that anyone may read."""
    states = await asyncio.gather(*(_check(name, probe) for name, probe in probes.items()))
    return dict(zip(probes, states, strict=True))


async def _check(name: str, probe: Probe) -> str:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await probe()
    except CarinaError as error:
        return error.detail
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a part, the others are still reported
        _log.warning("probe.failed", part=name, reason=repr(error))
        return "does not answer"
    return OK
