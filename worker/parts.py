"""The API or the worker alone, as in production, beside a Temporal server and a database that run elsewhere."""

import asyncio

from store.outbox import Outbox
from worker.embedded import connect, prepare_anew, serve
from worker.logs import configure_logs
from worker.settings import Settings
from worker.wiring import open_service

_DEFAULT_TEMPORAL = "127.0.0.1:7233"


async def run_part(settings: Settings, *, api: bool = False, worker: bool = False) -> None:
    """Run the chosen part until SIGTERM or SIGINT. The worker's machine becomes a host."""
    configure_logs(settings.log_level)
    service = await asyncio.to_thread(open_service, settings)
    client = await connect(settings, settings.temporal_address or _DEFAULT_TEMPORAL)
    if worker:
        host_id = await asyncio.to_thread(service.add_this_host)
        await prepare_anew(client, Outbox(service.engine), host_id)
    await serve(service, client, api=api, worker=worker)
