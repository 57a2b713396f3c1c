"""How scripts get their places on the connections to a host, without a host."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from domain.errors import HostUnreachable
from drivers import ssh
from drivers.shell import Result
from drivers.ssh import SshShell
from drivers.ssh_link import SshTarget


@dataclass
class FakeConnection:
    """A connection with room for one script, which runs until it is let go."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    active: int = 0
    room: int = 1
    closed: bool = False

    async def run(self, *_: object, **__: object) -> Result:
        await self.go.wait()
        return Result(b"done", b"")

    async def close(self) -> None:
        self.closed = True


class Machine:
    """A host that takes only so many connections."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.tries = 0
        self.connections: list[FakeConnection] = []

    async def open(self, *_: Any) -> FakeConnection:
        self.tries += 1
        if len(self.connections) == self.most:
            raise HostUnreachable("connection refused")
        self.connections.append(FakeConnection())
        return self.connections[-1]


def started(shell: SshShell, count: int) -> list[asyncio.Task[Result]]:
    return [asyncio.create_task(shell.run("true", timeout_s=5)) for _ in range(count)]


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0.001)


async def test_scripts_go_on_over_what_there_is_when_no_further_connection_can_be_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(most=1)
    monkeypatch.setattr(ssh.Connection, "open", machine.open)
    shell = SshShell(SshTarget("192.0.2.1"))
    scripts = started(shell, 3)
    await settled()
    assert machine.tries == 2
    scripts += started(shell, 3)
    await settled()
    assert machine.tries == 2, "the next try comes after a pause"
    machine.connections[0].go.set()
    assert [result.text for result in await asyncio.gather(*scripts)] == ["done"] * 6
    await shell.close()


async def test_a_further_connection_is_tried_again_after_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(most=1)
    monkeypatch.setattr(ssh.Connection, "open", machine.open)
    monkeypatch.setattr(ssh, "MORE_AFTER_S", 0.05)
    shell = SshShell(SshTarget("192.0.2.1"))
    scripts = started(shell, 2)
    await settled()
    machine.most = 2
    await asyncio.sleep(0.05)
    scripts += started(shell, 1)
    await settled()
    assert len(machine.connections) == 2
    for connection in machine.connections:
        connection.go.set()
    await asyncio.gather(*scripts)
    await shell.close()
