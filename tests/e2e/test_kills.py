"""kill -9 at every boundary of every step: each change is completed after a restart, exactly once.

There are three stories, each in an installation of its own: the worker is killed, the whole service is, and the
Temporal server is. They run at the same time, since they mostly wait for Temporal to notice. In each, a process is
killed right before each step of each operation, right after it, and, where a step is long, in its midst.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import machine
import pytest
from faulty_service import AFTER, BEFORE, DURING, DURING_S
from installation import Installation, Json, installed, until
from processes import Processes, processes_of, start_parts, start_whole
from records import NOTHING, held_by
from whole import assert_whole

OPERATIONS = ("create", "grow", "shrink", "delete")
ITS_OWN_END = "its own end"
TIMEOUT_S = 420.0


@dataclass
class Story:
    """What is being survived, by which installation, and how each operation came out."""

    victim: str
    installation: Installation
    processes: Processes
    parts: tuple[str, ...]
    outcomes: dict[str, asyncio.Future[None]] = field(default_factory=dict)

    async def tell(self, start: Callable[[Installation, Processes], Awaitable[None]]) -> None:
        """Run all operations, two at a time, and settle the outcome of each."""
        carina = self.installation
        try:
            await start(carina, self.processes)
            grown = (await carina.active("grown", 1))["id"]
            (carina.faults / "kill").write_text(self.victim)
            with self._held():
                created, create = carina.create("created", 3)
                grow = carina.resize(grown, 2)
            await asyncio.gather(
                self._settle("create", create, lambda: assert_whole(carina, created["id"], 3)),
                self._settle("grow", grow, lambda: assert_whole(carina, grown, 2)),
            )
            with self._held():
                shrink, delete = carina.resize(created["id"], 2), carina.delete(grown)
            await asyncio.gather(
                self._settle("shrink", shrink, lambda: assert_whole(carina, created["id"], 2)),
                self._settle("delete", delete, lambda: self._assert_gone(grown, "grown")),
            )
            self._settle_starts()
            await self._clear_away(created["id"])
        except BaseException as error:  # each test that waits has to hear of it
            for outcome in self.outcomes.values():
                if not outcome.done():
                    outcome.set_exception(AssertionError(f"the story ended before: {error!r}\n{self.processes.logs()}"))
            raise

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Let no step begin, and so no kill, while changes are asked for: each request is to have its answer."""
        hold = self.installation.faults / "hold"
        hold.touch()
        try:
            yield
        finally:
            hold.unlink()

    def _settle_starts(self) -> None:
        """Settle whether what was killed has also ended by itself."""
        (self.installation.faults / "kill").unlink()
        hits = len(list((self.installation.faults / "hit").iterdir()))
        kills = hits if self.victim == "self" else 0
        starts = max(self.processes.starts(part) for part in self.parts)
        if starts <= kills + 1:
            self.outcomes[ITS_OWN_END].set_result(None)
        else:
            error = AssertionError(f"{starts} starts after {kills} kills\n{self.processes.tracebacks()}")
            self.outcomes[ITS_OWN_END].set_exception(error)

    async def _clear_away(self, cluster_id: str) -> None:
        """Leave the machine to the other stories."""
        await self.installation.deleted(cluster_id)
        self.processes.kill()
        await asyncio.to_thread(self.installation.close)

    async def _settle(self, name: str, operation_id: str, check: Callable[[], Awaitable[None]]) -> None:
        operation = await self.installation.succeeded(operation_id, TIMEOUT_S, self.processes.keep)
        try:
            await self._every_boundary_was_hit(operation)
            await self.installation.ready(self.processes.keep)
            await check()
        except AssertionError as error:
            self.outcomes[name].set_exception(error)
        else:
            self.outcomes[name].set_result(None)

    async def _every_boundary_was_hit(self, operation: Json) -> None:
        steps = {step["name"] for step in operation["steps"]}
        assert {"begin_operation", "complete_operation"} <= steps
        workflow = {
            "create": "CreateCluster", "grow": "GrowCluster", "shrink": "ShrinkCluster", "delete": "DeleteCluster"
        }[operation["kind"]]  # fmt: skip

        def missing() -> set[str]:
            hit = {file.name.partition(".")[2] for file in (self.installation.faults / "hit").iterdir()
                   if file.name.startswith((f"{workflow}.", "ConfigureOverlay."))}  # fmt: skip
            wanted = {f"{step}.{boundary}" for step in steps for boundary in (BEFORE, AFTER)}
            return (wanted | {f"{step}.{DURING}" for step in steps & DURING_S.keys()}) - hit

        await until(lambda: not missing(), 10, f"boundaries are hit: {missing()}", look_after=self.processes.keep)

    async def _assert_gone(self, cluster_id: str, name: str) -> None:
        carina = self.installation
        assert carina.call("GET", f"/clusters/{cluster_id}").status_code == 404
        assert not [found for found in machine.containers(carina) if f"-{name}-" in found]
        assert len(machine.bridges(carina)) == 1, "the other cluster's alone"
        assert held_by(carina, cluster_id) == NOTHING


STARTS = {
    "worker": ("self", start_parts, ("worker", "temporal")),
    "service": ("self", start_whole, ("up",)),
    "temporal": ("temporal", start_whole, ("up",)),
}


@pytest.fixture(scope="module")
async def stories() -> AsyncIterator[dict[str, Story]]:
    """The three stories, under way."""
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        told: dict[str, Story] = {}
        tasks = []
        for name, (victim, start, parts) in STARTS.items():
            installation = stack.enter_context(installed())
            story = Story(victim, installation, stack.enter_context(processes_of(installation)), parts)
            story.outcomes = {outcome: loop.create_future() for outcome in (*OPERATIONS, ITS_OWN_END)}
            told[name] = story
            tasks.append(asyncio.create_task(story.tell(start), name=name))
        try:
            yield told
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("killed", STARTS)
async def test_change_survives_kills_at_every_boundary(stories: dict[str, Story], killed: str, operation: str) -> None:
    await stories[killed].outcomes[operation]


@pytest.mark.parametrize("killed", STARTS)
async def test_nothing_ends_by_itself_because_another_was_killed(stories: dict[str, Story], killed: str) -> None:
    await stories[killed].outcomes[ITS_OWN_END]
