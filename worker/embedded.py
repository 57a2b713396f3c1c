"""The all-in-one service: Temporal's server as a child process; API, worker and reconciler in this one."""

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Generator, Sequence

import structlog
import uvicorn
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Interceptor

from api.waits import Waits
from domain.errors import OperationLost, Unavailable
from domain.operations import OperationKind
from store.outbox import Outbox
from worker.schedules import converge, maintenance
from worker.settings import Settings
from worker.temporal_server import TemporalServer
from worker.wiring import Service, open_service

KEEP_ALIVE_S = 75
"""How long a connection without a request is kept: longer than clients do (httpx 5 s, most others less than a minute).

One that the server ends first may be taken for a request at that very moment, of which the client can't tell whether it
was heard.
"""

log = structlog.get_logger()

_CONNECT_TIMEOUT_S = 30.0
_CONNECT_POLL_S = 0.02


async def run_all(settings: Settings, *, interceptors: Sequence[Interceptor] = ()) -> None:
    """Run everything until SIGTERM or SIGINT. `interceptors` stand outside Carina's own."""
    service = await asyncio.to_thread(open_service, settings)
    with service.home.locked():
        server = embedded_temporal(service)
        if server is not None:
            await server.start()
        try:
            client = await connect(settings, server.address if server else settings.temporal_address)
            host_id = await asyncio.to_thread(service.add_this_host)
            await prepare_anew(client, Outbox(service.engine), host_id)
            await serve(service, client, api=True, worker=True, interceptors=interceptors)
        finally:
            if server is not None:
                await server.stop()


async def prepare_anew(client: Client, outbox: Outbox, host_id: str) -> None:
    """Store that the host is to be prepared from the start.

    A preparation that was under way when the machine or the service went down is ended: what it had done may be
    gone, such as the pool's mount after a reboot, and it would not look again.
    """
    for operation in await asyncio.to_thread(outbox.running):
        if operation.kind is OperationKind.PREPARE_HOST and operation.host_id == host_id:
            reason = "The service was started anew, and prepares the host from the start."
            with contextlib.suppress(RPCError):  # it has ended, or Temporal does not know it
                await client.get_workflow_handle(operation.workflow_id).terminate(reason)
            await asyncio.to_thread(outbox.mark_lost, operation.id, OperationLost(reason, remedy="").record())
    await asyncio.to_thread(outbox.accept_prepare_host, host_id)


def embedded_temporal(service: Service) -> TemporalServer | None:
    """Return the Temporal server to run, None if the settings name one that runs elsewhere."""
    if service.settings.temporal_address:
        return None
    identity = service.home.with_own_ports()
    return TemporalServer(
        database=service.home.temporal_db,
        port=identity.temporal_port,
        ui_port=identity.temporal_ui_port,
        log_file=service.home.log_dir / "temporal.log",
    )


async def connect(settings: Settings, address: str) -> Client:
    """Connect to the Temporal server; raise `Unavailable` if it does not answer in time.

    One that has just started takes connections a moment before it serves.
    """
    deadline = time.monotonic() + _CONNECT_TIMEOUT_S
    while True:
        try:
            return await Client.connect(address, namespace=settings.temporal_namespace)
        except RuntimeError as error:
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"The Temporal server at {address} does not answer: {error}.",
                    remedy="Start it, or correct CARINA_TEMPORAL_ADDRESS.",
                ) from error
        await asyncio.sleep(_CONNECT_POLL_S)


async def serve(
    service: Service, client: Client, *, api: bool, worker: bool, interceptors: Sequence[Interceptor] = ()
) -> None:
    """Run the chosen parts until a signal asks for the end, or one of them fails."""
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(service.shells.close)
        parts: list[asyncio.Task[None]] = []
        if worker:
            prefix = service.instance.prefix
            await converge(client, prefix, maintenance(prefix, sweep_grace_s=service.settings.sweep_grace_s))
            running = service.worker(client, more=interceptors)
            parts.append(asyncio.create_task(running.run(), name="worker"))
            stack.push_async_callback(running.shutdown)
            if service.settings.check_every_s:
                watching = asyncio.create_task(service.watch().run(), name="watch")
                parts.append(watching)
                stack.push_async_callback(_end, watching)
            else:
                known = {host.id: None for host in await asyncio.to_thread(service.records.hosts)}
                await asyncio.to_thread(service.records.record_answers, known)  # nobody would ever say so
        if api:
            server = _server(service, client)
            serving = asyncio.create_task(server.serve(), name="api")
            reconciling = asyncio.create_task(service.reconciler(client).run(), name="reconciler")
            parts += [serving, reconciling]
            stack.push_async_callback(_stop_api, server, serving)
            stack.push_async_callback(_end, reconciling)
        log.info("service.started", home=str(service.home.path), api=api, worker=worker, prefix=service.instance.prefix)
        await _until_asked(parts)
        log.info("service.stopping")


class _Server(uvicorn.Server):
    """Leaves signals to `_until_asked`, which has more than the API to stop, and ends what waits for a change."""

    def __init__(self, config: uvicorn.Config, waits: Waits) -> None:
        super().__init__(config)
        self._waits = waits

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer the requests that wait for a change, which would hold up the end; then as ever."""
        self._waits.close()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Take no signal."""
        yield


def _server(service: Service, client: Client) -> _Server:
    settings = service.settings
    app = service.app(client)
    return _Server(
        uvicorn.Config(
            app,
            host=settings.listen_host,
            port=settings.listen_port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=3,
            timeout_keep_alive=KEEP_ALIVE_S,
            server_header=False,
        ),
        app.state.parts.waits,
    )


async def _stop_api(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    server.should_exit = True
    await asyncio.wait({serving})


async def _end(loop: asyncio.Task[None]) -> None:
    loop.cancel()
    await asyncio.wait({loop})


async def _until_asked(parts: Sequence[asyncio.Task[None]]) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    waiting = asyncio.create_task(asked.wait())
    done, _ = await asyncio.wait({waiting, *parts}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for part in done - {waiting}:
        part.result()
        raise Unavailable(f"The service's {part.get_name()} ended by itself.")
