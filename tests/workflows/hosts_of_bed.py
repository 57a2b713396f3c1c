"""What a test of workflows does with hosts: it adds some, lets them die, and asks for changes to them."""

import asyncio
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, text
from temporalio.client import WorkflowHandle
from troubles import Trouble

from domain.host_input import AskedHost
from domain.hosts import Claim, Host, HostState
from domain.operations import OperationKind
from drivers.fakes.images import DIGEST
from store.host_admin import HostAdmin
from store.outbox import Outbox
from store.records import StoreRecords
from store.repository import Repository
from store.views import OperationView

Handle = WorkflowHandle[Any, Any]


class HostsOfBed(ABC):
    """The part of a test bed that knows of hosts."""

    engine: Engine
    trouble: Trouble
    records: StoreRecords
    outbox: Outbox
    repository: Repository

    @abstractmethod
    async def start(self, operation: OperationView) -> Handle: ...

    @abstractmethod
    async def end(self, handle: Handle) -> Any: ...

    def rack(self, count: int = 3) -> list[Host]:
        """Add hosts that publish ports and can be joined, and let no new node come to the first one."""
        with self.engine.begin() as connection:
            connection.execute(text("UPDATE hosts SET cordoned = true"))
        return [self.add_host(f"rack{number}", f"192.0.2.{number}") for number in range(1, count + 1)]

    def add_host(self, name: str, address: str, *, ready: bool = True) -> Host:
        admin = HostAdmin(self.engine)
        asked = AskedHost(name, name, fabric_address=address)
        accepted = admin.accept_add(asked, root="/nowhere")
        host = self.records.host(accepted.host.id)
        if ready:
            self.records.complete_operation(accepted.operation.id)
            claim = Claim("10.64.0.0/16", 1_000_000_000, 64)
            host = replace(host, state=HostState.READY, claim=claim, image=DIGEST)
            self.records.record_host(host, None)
        return host

    def kill(self, *hosts: Host) -> None:
        """Let hosts answer nobody until the trouble is healed."""
        for host in hosts:
            self.trouble.dead |= {host.name, host.fabric_address}

    def accept_cordon(self, host: Host) -> None:
        HostAdmin(self.engine).set_cordoned(host.id, cordoned=True)

    def accept_task(self, host: Host, kind: OperationKind, *, force: bool = False) -> OperationView:
        return HostAdmin(self.engine).accept_task(host.id, kind, force=force).operation

    async def run_task(self, host: Host, kind: OperationKind, *, force: bool = False) -> OperationView:
        """Run an operation on a host to its end, and the moves that it has accepted."""
        operation = self.accept_task(host, kind, force=force)
        handle = await self.start(operation)
        moving = asyncio.create_task(self._start_moves())
        try:
            await self.end(handle)
        finally:
            moving.cancel()
        return self.repository.operation(operation.id)

    async def _start_moves(self) -> None:
        """Start moves that were accepted, as the reconciler does."""
        begun: set[str] = set()
        while True:
            for operation in await asyncio.to_thread(self.outbox.pending, 0.0):
                if operation.kind is OperationKind.MOVE and operation.id not in begun:
                    begun.add(operation.id)
                    await self.start(operation)
            await asyncio.sleep(0.02)
