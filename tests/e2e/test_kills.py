"""kill -9 at every boundary of every step: each change is completed after a restart, exactly once.

There are five stories, each in an installation of its own: the worker is killed, the whole service is, and the
Temporal server is, while Swarms are changed, and the whole service twice more: while Kubernetes clusters are, and while
Swarms are whose nodes are on other hosts, reached over SSH. The first three run at the same time, since they mostly
wait for Temporal to notice. In each, a process is killed right before each step of each operation, right after it, and,
where a step is long and the worker is what dies, in its midst.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import machine
import pytest
from faulty_service import AFTER, BEFORE, DURING, DURING_S, SELF, TEMPORAL
from image_archives_help import busybox_image, docker_archive
from installation import POLL_S, Installation, installed
from processes import Processes, processes_of, start_parts, start_whole
from racked import add_hosts
from records import NOTHING, held_by
from whole import assert_whole

from domain.clusters import COE_KUBERNETES, COE_SWARM
from tests.rack.racks import rack

WORKFLOWS = {
    "create": "CreateCluster",
    "grow": "GrowCluster",
    "shrink": "ShrinkCluster",
    "delete": "DeleteCluster",
    "load-image": "LoadImage",
}
ITS_OWN_END = "its own end"
LAST_KILL_S = 60.0
"""After success was recorded, until the step that did so was killed at its end: another's kill may come between."""
TIMEOUT_S = 900.0
"""For all kills of an operation, and for what they cost: mostly the time until Temporal notices, and a restart."""
FILLER_BYTES = 32 * 1024 * 1024
"""An image of this size takes long enough for a kill in the midst of its loading."""


Start = Callable[[Installation, Processes], Awaitable[None]]


@dataclass
class Story:
    """What is being survived, by which installation, and how each operation came out."""

    victim: str
    kind: str
    installation: Installation
    processes: Processes
    parts: tuple[str, ...]
    outcomes: dict[str, asyncio.Future[None]] = field(default_factory=dict)

    async def tell(self, start: Start) -> None:
        """Run all operations, two at a time, and settle the outcome of each."""
        carina = self.installation
        try:
            await start(carina, self.processes)
            grown, loaded = await asyncio.gather(*(self._begun(name) for name in ("grown", "loaded")))
            await carina.succeeded(self._load_image(grown))  # it comes to the nodes of the grow
            (carina.faults / "kill").write_text(self.victim)
            with self._held():
                created, create = carina.create("created", 3, kind=self.kind)
                grow = carina.resize(grown, 2)
            await self._settle(
                {
                    "create": (create, lambda: assert_whole(carina, created["id"], 3)),
                    "grow": (grow, lambda: assert_whole(carina, grown, 2)),
                }
            )
            with self._held():
                shrink, delete = carina.resize(created["id"], 2), carina.delete(grown)
                load = self._load_image(loaded)
            await self._settle(
                {
                    "shrink": (shrink, lambda: assert_whole(carina, created["id"], 2)),
                    "delete": (delete, lambda: self._assert_gone(grown, "grown")),
                    "load-image": (load, lambda: self._assert_loaded(loaded)),
                }
            )
            own_end = self._own_end()
            await self._clear_away()  # before the last outcome: with that, the fixture clears away too
            self._settle_own_end(own_end)
        except BaseException as error:  # each test that waits has to hear of it
            for outcome in self.outcomes.values():
                if not outcome.done():
                    outcome.set_exception(
                        AssertionError(f"the story ended before: {error!r} {error}\n{self.processes.logs()}")
                    )
            raise

    async def _begun(self, name: str) -> str:
        """Make a cluster of one node, undisturbed; return its id."""
        cluster = await self.installation.active(name, 1, kind=self.kind)
        return str(cluster["id"])

    def _load_image(self, cluster_id: str) -> str:
        """Ask for an image to be loaded into the cluster; return the operation's id."""
        folder = Path(tempfile.mkdtemp(dir=self.installation.directory))
        image = busybox_image(folder, "web:1", text="web", filler_bytes=FILLER_BYTES)
        archive = docker_archive(folder / "web.tar", image)
        headers = {"Content-Type": "application/x-tar"}
        path = f"/clusters/{cluster_id}/images"
        response = self.installation.call("POST", path, headers=headers, content=archive.read_bytes())
        assert response.status_code == 202, response.text
        return str(response.headers["Location"].rpartition("/")[2])

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Let no step begin, and so no kill, while changes are asked for: each request is to have its answer."""
        hold = self.installation.faults / "hold"
        hold.touch()
        try:
            yield
        finally:
            hold.unlink()

    def _own_end(self) -> AssertionError | None:
        """Return an error if what was killed has also ended by itself."""
        (self.installation.faults / "kill").unlink()
        hits = len(list((self.installation.faults / "hit").iterdir()))
        kills = hits if self.victim == SELF else 0
        starts = max(self.processes.starts(part) for part in self.parts)
        if starts <= kills + 1:
            return None
        return AssertionError(f"{starts} starts after {kills} kills\n{self.processes.tracebacks()}")

    def _settle_own_end(self, error: AssertionError | None) -> None:
        if error is None:
            self.outcomes[ITS_OWN_END].set_result(None)
        else:
            self.outcomes[ITS_OWN_END].set_exception(error)

    async def _clear_away(self) -> None:
        """Leave the machine to the other stories."""
        self.processes.kill()
        await asyncio.to_thread(self.installation.close)

    async def _settle(self, operations: dict[str, tuple[str, Callable[[], Awaitable[None]]]]) -> None:
        """Wait for operations to end, with all kills that belong to them; check then, and settle, how they came out."""
        ended = [self._ended(operation_id) for operation_id, _ in operations.values()]
        missed = dict(zip(operations, await asyncio.gather(*ended), strict=True))
        await self.installation.ready(self.processes.keep)
        for name, (_, check) in operations.items():
            try:
                assert not missed[name], f"not killed at {missed[name]}"
                await check()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is how this one came out
                self.outcomes[name].set_exception(error)
            else:
                self.outcomes[name].set_result(None)

    async def _ended(self, operation_id: str) -> set[str]:
        """Return once the operation has succeeded, and which boundaries of its steps nothing was killed at."""
        operation = await self.installation.succeeded(operation_id, TIMEOUT_S, self.processes.keep)
        steps = {step["name"] for step in operation["steps"]}
        assert {"begin_operation", "complete_operation"} <= steps
        wanted = {f"{step}.{boundary}" for step in steps for boundary in (BEFORE, AFTER)}
        # What another operation's kill cut in its midst is short when it is tried again.
        cut = {step["name"] for step in operation["steps"] if step["state"] == "lost"}
        if self.victim == SELF:
            wanted |= {f"{step}.{DURING}" for step in (steps & DURING_S.keys()) - cut}
        workflows = (f"{WORKFLOWS[operation['kind']]}.", "ConfigureOverlay.")
        deadline = time.monotonic() + LAST_KILL_S  # the last one comes after the result was recorded
        while True:
            files = [file.name for file in (self.installation.faults / "hit").iterdir()]
            missing = wanted - {name.partition(".")[2] for name in files if name.startswith(workflows)}
            if not missing or time.monotonic() > deadline:
                return missing
            self.processes.keep()
            await asyncio.sleep(POLL_S)

    async def _assert_gone(self, cluster_id: str, name: str) -> None:
        carina = self.installation
        assert carina.call("GET", f"/clusters/{cluster_id}").status_code == 404
        assert not [found for found in machine.containers(carina) if f"-{name}-" in found]
        assert len(machine.bridges(carina)) == 2, "the other clusters' alone"
        assert held_by(carina, cluster_id) == NOTHING

    async def _assert_loaded(self, cluster_id: str) -> None:
        [image] = self.installation.get(f"/clusters/{cluster_id}/images")["images"]
        assert (image["names"], image["state"]) == (["web:1"], "active")
        await assert_whole(self.installation, cluster_id, 1)


async def start_racked(installation: Installation, processes: Processes) -> None:
    """Start the all-in-one service with nodes on hosts of a rack alone."""
    await start_whole(installation, processes)
    installation.carina("host", "cordon", "local")
    await asyncio.to_thread(add_hosts, installation, installation.rack or ())


STARTS = {
    "worker": (SELF, COE_SWARM, start_parts, ("worker", "temporal")),
    "service": (SELF, COE_SWARM, start_whole, ("up",)),
    "temporal": (TEMPORAL, COE_SWARM, start_whole, ("up",)),
    "service-kubernetes": (SELF, COE_KUBERNETES, start_whole, ("up",)),
    "service-rack": (SELF, COE_SWARM, start_racked, ("up",)),
}
TOGETHER = ("worker", "service", "temporal")
"""More than these at once, all of them killed all the time, are too much for a small machine."""
RACK_HOSTS = 2


@pytest.fixture(scope="module")
async def stories() -> AsyncIterator[dict[str, Story]]:
    """The stories, under way."""
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        told: dict[str, Story] = {}
        tasks: list[asyncio.Task[None]] = []
        for name, (victim, kind, start, parts) in STARTS.items():
            made = stack.enter_context(rack(RACK_HOSTS)) if start is start_racked else None
            installation = stack.enter_context(installed())
            installation.rack = made
            story = Story(victim, kind, installation, stack.enter_context(processes_of(installation)), parts)
            story.outcomes = {outcome: loop.create_future() for outcome in (*WORKFLOWS, ITS_OWN_END)}
            told[name] = story
            before = [] if name in TOGETHER else list(tasks)
            tasks.append(asyncio.create_task(_tell_after(before, story, start), name=name))
        try:
            yield told
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _tell_after(before: Sequence[asyncio.Task[None]], story: Story, start: Start) -> None:
    if before:
        await asyncio.wait(before)
    await story.tell(start)


@pytest.mark.parametrize("operation", WORKFLOWS)
@pytest.mark.parametrize("killed", STARTS)
async def test_change_survives_kills_at_every_boundary(stories: dict[str, Story], killed: str, operation: str) -> None:
    await stories[killed].outcomes[operation]


@pytest.mark.parametrize("killed", STARTS)
async def test_nothing_ends_by_itself_because_another_was_killed(stories: dict[str, Story], killed: str) -> None:
    await stories[killed].outcomes[ITS_OWN_END]
