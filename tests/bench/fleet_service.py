"""Parts of the real service with a fleet that is not there, each as a process of its own: started by the bench.

python -m tests.bench.fleet_service temporal|worker
"""

import asyncio
import sys
from dataclasses import dataclass, fields

from store.outbox import Outbox
from tests.bench.fleet_waits import waiting_drivers
from worker.embedded import connect, embedded_temporal, prepare_anew, serve
from worker.logs import configure_logs
from worker.settings import Settings
from worker.wiring import Drivers, Service, open_service


@dataclass(frozen=True)
class FleetService(Service):
    """The service with other drivers, for its worker and its watch alike."""

    waiting: Drivers

    def drivers(self) -> Drivers:
        return self.waiting


async def run_temporal(settings: Settings) -> None:
    """Run the embedded Temporal server, and nothing else, until killed. Its port stands in the instance's identity."""
    server = embedded_temporal(await asyncio.to_thread(open_service, settings))
    assert server is not None
    await server.start()
    await asyncio.Event().wait()


async def run_worker(settings: Settings) -> None:
    """Run the worker and the watch as `carinad worker` does."""
    service = await asyncio.to_thread(open_service, settings)
    parts = {field.name: getattr(service, field.name) for field in fields(service)}
    fleet = FleetService(**parts, waiting=waiting_drivers(service.instance))
    client = await connect(settings, settings.temporal_address)
    host_id = await asyncio.to_thread(fleet.add_this_host)
    await prepare_anew(client, Outbox(fleet.engine), host_id)
    await serve(fleet, client, api=False, worker=True)


def main() -> None:
    settings = Settings()
    configure_logs(settings.log_level)
    asyncio.run({"temporal": run_temporal, "worker": run_worker}[sys.argv[1]](settings))


if __name__ == "__main__":
    main()
