"""Drivers that do as they are told until a test has trouble in mind for one of their calls."""

import asyncio
import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from domain.errors import HostUnreachable, SwarmFailed
from domain.facts import NodeFacts
from domain.hosts import Host
from domain.nodes import Member, NodePlan

WAIT_S = 20.0
MANAGER_ALONE = frozenset({f"orchestrator.{name}" for name in ("leave", "drain", "undrain", "health")})
"""Calls that do without the node that they are about."""


@dataclass
class Hold:
    """A call that waits until it is let go, or until its activity is cancelled."""

    loop: asyncio.AbstractEventLoop
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    _go: asyncio.Event = field(default_factory=asyncio.Event)
    _go_thread: threading.Event = field(default_factory=threading.Event)

    async def wait_reached(self) -> None:
        await asyncio.wait_for(self.reached.wait(), WAIT_S)

    def release(self) -> None:
        self._go.set()
        self._go_thread.set()

    async def pass_async(self) -> None:
        self.reached.set()
        await self._go.wait()

    def pass_blocking(self) -> None:
        self.loop.call_soon_threadsafe(self.reached.set)
        assert self._go_thread.wait(WAIT_S), "a held call was never let go"


@dataclass
class _Failure:
    make: Callable[[], BaseException]
    left: int | None
    afterwards: bool


@dataclass
class Trouble:
    """Which calls go wrong, by `driver.method` and, where it says so, by the node's name. `calls` are all, in order.

    `dead` are the names and addresses of hosts that answer nobody: neither themselves nor the nodes on them.
    """

    calls: list[tuple[str, str]] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)
    _failures: dict[tuple[str, str | None], _Failure] = field(default_factory=dict)
    _holds: dict[tuple[str, str | None], Hold] = field(default_factory=dict)

    def fail(
        self,
        call: str,
        error: BaseException,
        *,
        on: str | None = None,
        times: int | None = None,
        afterwards: bool = False,
    ) -> None:
        """Let the call raise `error`, `times` times or for ever; with `afterwards`, after it has done its work."""
        kind, args = type(error), error.args
        self._failures[call, on] = _Failure(lambda: kind(*args), times, afterwards)

    def hold(self, call: str, *, on: str | None = None) -> Hold:
        """Let the call wait before it does anything."""
        hold = Hold(asyncio.get_running_loop())
        self._holds[call, on] = hold
        return hold

    def heal(self) -> None:
        """Let everything succeed from now on, and let go what is held."""
        self._failures.clear()
        self.dead.clear()
        self.release()

    def release(self) -> None:
        """Let go what is held."""
        while self._holds:
            self._holds.popitem()[1].release()

    def count(self, call: str, on: str | None = None) -> int:
        """Return how often the call was made."""
        return sum(made == call and (on is None or on == subject) for made, subject in self.calls)

    def enter(self, call: str, subject: str) -> Hold | None:
        self.calls.append((call, subject))
        return self._holds.get((call, subject)) or self._holds.get((call, None))

    def reach(self, call: str, args: tuple[object, ...]) -> None:
        """Raise what a driver does of a host that is dead, or of members on one, if the call needs one."""
        for argument in args:
            host = argument.host if isinstance(argument, NodePlan) else argument
            if isinstance(host, Host) and host.name in self.dead:
                raise HostUnreachable(f"root@{host.address}: no route to host")
        members = [argument for argument in args if isinstance(argument, Member)]
        members += [argument.member for argument in args if isinstance(argument, NodeFacts)]
        members += [member for argument in args if isinstance(argument, (list, tuple)) for member in argument]
        needed = members[:1] if call in MANAGER_ALONE else members
        for member in needed:
            if isinstance(member, Member) and member.public is not None and member.public[0] in self.dead:
                raise SwarmFailed(f"{member.name} does not answer at {member.public[0]}.")

    def blow(self, call: str, subject: str, *, afterwards: bool) -> None:
        for key in ((call, subject), (call, None)):
            failure = self._failures.get(key)
            if failure is None or failure.afterwards is not afterwards or failure.left == 0:
                continue
            if failure.left is not None:
                failure.left -= 1
            raise failure.make()


class Troubled:
    """Stands in front of a driver, and fits whatever port the driver fits."""

    def __init__(self, name: str, driver: object, trouble: Trouble) -> None:
        self._name = name
        self._driver = driver
        self._trouble = trouble

    def __getattr__(self, method: str) -> Any:
        target = getattr(self._driver, method)
        if not callable(target):
            return target
        call = f"{self._name}.{method}"
        trouble = self._trouble

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            subject = subject_of(args)
            hold = trouble.enter(call, subject)
            if hold is not None:
                await hold.pass_async()
            trouble.reach(call, args)
            trouble.blow(call, subject, afterwards=False)
            result = await target(*args, **kwargs)
            trouble.blow(call, subject, afterwards=True)
            return result

        def call_blocking(*args: Any, **kwargs: Any) -> Any:
            subject = subject_of(args)
            hold = trouble.enter(call, subject)
            if hold is not None:
                hold.pass_blocking()
            trouble.blow(call, subject, afterwards=False)
            result = target(*args, **kwargs)
            trouble.blow(call, subject, afterwards=True)
            return result

        return call_async if inspect.iscoroutinefunction(target) else call_blocking


def subject_of(args: tuple[object, ...]) -> str:
    """Return the name of the node that a call is about, empty if it is about none."""
    for argument in reversed(args):
        if isinstance(argument, (NodePlan, Member)):
            return argument.name
        if isinstance(argument, NodeFacts):
            return argument.ref.name
    if len(args) == 2 and isinstance(args[1], str) and args[1].count("-") >= 3:
        return "-".join(args[1].split("-")[1:-1])  # a container is named prefix-cluster-index-tail
    return ""
