"""One run serves all who asked before it began, and nobody with what it saw before they asked."""

import asyncio
from contextvars import ContextVar

from activities.shared_run import SharedRun
from domain.errors import HostUnreachable


class Work:
    """Work that waits to be let go, and returns how often it has begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.at_once = 0
        self.go = asyncio.Event()

    async def run(self) -> int:
        self.begun += 1
        self.at_once += 1
        assert self.at_once == 1, "one at a time"
        count = self.begun
        await self.go.wait()
        self.at_once -= 1
        return count


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_all_who_ask_while_one_runs_share_the_next() -> None:
    work = Work()
    shared = SharedRun(work.run)
    first = asyncio.create_task(shared.result())
    await settled()
    later = [asyncio.create_task(shared.result()) for _ in range(20)]
    await settled()
    assert work.begun == 1
    work.go.set()
    assert await first == 1
    assert set(await asyncio.gather(*later)) == {2}
    assert await shared.result() == 3, "what is asked later is looked at later"


async def test_a_caller_that_goes_takes_no_other_with_it() -> None:
    work = Work()
    shared = SharedRun(work.run)
    gone, staying = (asyncio.create_task(shared.result()) for _ in range(2))
    await settled()
    gone.cancel()
    await settled()
    work.go.set()
    assert (await staying, gone.cancelled(), work.begun) == (1, True, 1)


async def test_a_failure_is_told_to_all_and_keeps_no_later_run_from_it() -> None:
    failing = True

    async def work() -> str:
        await asyncio.sleep(0)
        if failing:
            raise HostUnreachable("no route to host")
        return "done"

    shared = SharedRun(work)
    ended = await asyncio.gather(*(shared.result() for _ in range(3)), return_exceptions=True)
    assert [str(error) for error in ended] == [str(HostUnreachable("no route to host"))] * 3
    failing = False
    assert await shared.result() == "done"


async def test_a_run_is_not_in_the_context_of_who_asked() -> None:
    step: ContextVar[str] = ContextVar("step", default="none")

    async def work() -> str:
        return step.get()

    step.set("a caller's")
    assert await SharedRun(work).result() == "none"
