"""Work on several hosts at once: all of it runs to its end, and what one of them says keeps no other from it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from activities.notes import note
from activities.patience import with_host
from domain.errors import HostUnreachable
from domain.hosts import Host

Item = TypeVar("Item")
Result = TypeVar("Result")
Wanted = TypeVar("Wanted")


@dataclass(frozen=True)
class Part(Generic[Wanted]):
    """What a host should have, in terms that can be compared."""

    host: Host
    wanted: Wanted


async def on_all(items: Sequence[Item], work: Callable[[Item], Awaitable[Result]]) -> list[Result]:
    """Do `work` on all items at once, and return the results. Once all have ended, the first failure is raised."""
    ended = await asyncio.gather(*(work(item) for item in items), return_exceptions=True)
    results: list[Result] = []
    for result in ended:
        if isinstance(result, BaseException):
            raise result
        results.append(result)
    return results


async def on_hosts(hosts: Sequence[Host], work: Callable[[Host], Awaitable[Result]]) -> list[Result]:
    """Do `work` on all hosts at once as `on_all` does; what goes wrong names the host."""

    async def named(host: Host) -> Result:
        try:
            return await work(host)
        except Exception as error:
            raise with_host(error, host.name) from error

    return await on_all(hosts, named)


async def on_those_that_answer(
    parts: Sequence[Part[Wanted]], work: Callable[[Part[Wanted]], Awaitable[Result]]
) -> list[tuple[Part[Wanted], Result]]:
    """Do `work` on all hosts at once, and return the results of those that answered.

    Which ones did not, and why, is noted on the step. Other failures are raised as by `on_all`.
    """

    async def tried(part: Part[Wanted]) -> tuple[Part[Wanted], Result] | None:
        try:
            return part, await work(part)
        except HostUnreachable as error:
            note(f"{part.host.name} was left out, because it does not answer: {error.detail}")
            return None

    return [pair for pair in await on_all(parts, tried) if pair is not None]


async def converge(
    read: Callable[[], Sequence[Part[Wanted]]],
    work: Callable[[Part[Wanted]], Awaitable[None]],
    *,
    all_must_answer: bool,
) -> None:
    """Do on each host what `read`, which blocks, says that it should have; again for those of which it changed since.

    Others change the rows meanwhile, and do the same, in other processes too. As each of them looks once more after it
    was done, what the last one does is what the rows say.
    """

    async def named(part: Part[Wanted]) -> None:
        try:
            await work(part)
        except Exception as error:
            raise with_host(error, part.host.name) from error

    done: frozenset[Part[Wanted]] = frozenset()
    while True:
        wanted = await asyncio.to_thread(read)
        todo = [part for part in wanted if part not in done]
        if not todo:
            return
        if all_must_answer:
            await on_all(todo, named)
        else:
            await on_those_that_answer(todo, named)
        done = frozenset(wanted)
