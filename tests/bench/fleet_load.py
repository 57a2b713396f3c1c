"""The load on the fleet's control plane: people who ask for clusters over HTTP, and wait as `carina --wait` does."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncssh
import httpx

from domain.clusters import SWARM
from tests.bench.fleet_usage import Cores, Usage
from tests.bench.runs import Json
from tests.e2e.installation import ENDED, Installation

NODES = 5
WAIT_S = 9.0
ANSWER_TIMEOUT_S = 60.0
HOSTS_AT_ONCE = 20
ROWS = 10
_FABRIC = "198.18"  # for benchmarks (RFC 2544)


@dataclass
class Level:
    """What came of one level of load. Times in seconds; `operations` are those that succeeded, with their steps."""

    at_once: int
    asked: int
    took_s: float = 0.0
    accepted_s: list[float] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    operations: list[Json] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    usage: dict[str, Cores] = field(default_factory=dict)

    @property
    def per_minute(self) -> float:
        return 60 * len(self.times_s) / self.took_s if self.took_s else 0.0

    @property
    def unfinished(self) -> int:
        return self.asked - len(self.times_s) - len(self.failures)


class People:
    """Those who use the API. `deadline`, of `time.monotonic`, is when they stop waiting for whatever it is."""

    def __init__(self, client: httpx.AsyncClient, usage: Usage, deadline: float) -> None:
        self._client = client
        self._usage = usage
        self._deadline = deadline

    async def add_hosts(self, count: int) -> Level:
        """Add hosts in rows, and wait until they are ready; the machine that Carina runs on takes no nodes."""

        async def add(number: int) -> tuple[httpx.Response, str]:
            address = f"{_FABRIC}.{number // 200}.{number % 200 + 1}"
            key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
            body = {"name": f"host{number}", "address": address, "fabric_address": address, "host_key": key}
            answer = await self._client.post("/hosts", json={**body, "zone": f"row{number % ROWS}"})
            return answer, f"host{number}"

        level = await self._level(HOSTS_AT_ONCE, [lambda number=number: add(number) for number in range(count)])
        [local] = (await self._client.get("/hosts", params={"name": "local"})).json()["hosts"]
        (await self._client.post(f"/hosts/{local['id']}/tasks", json={"type": "cordon"})).raise_for_status()
        return level

    async def create(self, at_once: int, count: int) -> Level:
        """Create clusters, `at_once` of them at a time."""

        async def create(number: int) -> tuple[httpx.Response, str]:
            name = f"c{at_once}-{number}"
            body = {"name": name, "cluster_type_id": SWARM.id, "node_count": NODES}
            return await self._client.post("/clusters", json=body), name

        return await self._level(at_once, [lambda number=number: create(number) for number in range(count)])

    async def delete_all(self, at_once: int) -> Level:
        """Delete all clusters."""
        clusters = (await self._client.get("/clusters")).json()["clusters"]

        async def delete(cluster: Json) -> tuple[httpx.Response, str]:
            return await self._client.delete(f"/clusters/{cluster['id']}"), cluster["name"]

        return await self._level(at_once, [lambda cluster=cluster: delete(cluster) for cluster in clusters])

    async def _level(self, at_once: int, asks: Sequence[Callable[[], Awaitable[tuple[httpx.Response, str]]]]) -> Level:
        level = Level(at_once, len(asks))
        todo = iter(asks)
        began = time.monotonic()
        self._usage.look()

        async def person() -> None:
            for ask in todo:
                await self._follow(ask, level)

        people = [asyncio.create_task(person()) for _ in range(min(at_once, len(asks)))]
        if people:
            _, late = await asyncio.wait(people, timeout=max(0.0, self._deadline - began))
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        level.took_s = time.monotonic() - began
        self._usage.look()
        level.usage = self._usage.since(began)
        return level

    async def _follow(self, ask: Callable[[], Awaitable[tuple[httpx.Response, str]]], level: Level) -> None:
        """Ask, and wait for the operation's end; what goes wrong is what came of it."""
        began = time.monotonic()
        try:
            answer, name = await ask()
            accepted_s = time.monotonic() - began
            if answer.status_code != httpx.codes.ACCEPTED:
                level.failures.append(f"HTTP {answer.status_code}: {answer.text[:200]}")
                return
            operation = await self._ended(answer.headers["Location"])
        except httpx.HTTPError as error:
            level.failures.append(repr(error))
            return
        if operation["state"] != "succeeded":
            level.failures.append(f"{name}: {operation['state']}: {operation['error']}")
            return
        # The step that records the result has not ended yet where the result is seen at once.
        operation["steps"] = [step for step in operation["steps"] if step["ended_at"]]
        level.accepted_s.append(accepted_s)
        level.times_s.append(time.monotonic() - began)
        level.operations.append(operation)

    async def _ended(self, location: str) -> Json:
        params: dict[str, str] = {}
        while True:
            answer = await self._client.get(location, params=params)
            answer.raise_for_status()
            operation: Json = answer.json()
            if operation["state"] in ENDED:
                return operation
            params = {"revision": operation["revision"], "wait_s": str(WAIT_S)}


@asynccontextmanager
async def people_of(installation: Installation, usage: Usage, deadline: float) -> AsyncIterator[People]:
    """Those who use an installation's API, each with a connection of their own."""
    async with httpx.AsyncClient(
        base_url=f"http://{installation.listen}",
        headers={"X-Auth-Token": installation.token},
        timeout=ANSWER_TIMEOUT_S,
        limits=httpx.Limits(max_connections=None),
        trust_env=False,
    ) as client:
        sampling = asyncio.create_task(usage.sample())
        try:
            yield People(client, usage, deadline)
        finally:
            sampling.cancel()
            await asyncio.wait({sampling})
