"""One cluster over 1, 2 and 3 hosts: `python -m tests.bench --only hosts`. The hosts are a rack's, reached by real SSH.

The rack is on this one machine, so more hosts bring no more processors. What is measured is that they cost nothing
either: no step goes from host to host or from node to node, and each node costs the same few round trips.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench import many_hosts_report as report
from tests.bench.many_hosts_runs import HostsRun, trips_of

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

from installation import installed  # the modules of these tests know each other by such names
from racked import Racked

from tests.rack.racks import rack

Say = Callable[[str], None]
NODES = 8
HOSTS = (1, 2, 3)
_CLUSTER = "bench"


@asynccontextmanager
async def bed(hosts: int) -> AsyncIterator[Racked]:
    """An installation with hosts of a rack, on which only the bench does anything. Its log tells of each script."""
    with rack(hosts) as made, installed(CARINA_LOG_LEVEL="debug", CARINA_CHECK_EVERY_S="0") as installation:
        await installation.up()
        installation.carina("host", "cordon", "local")
        racked = Racked(installation, made)
        await asyncio.to_thread(racked.add, made.hosts)
        yield racked


async def measure(say: Say, *, nodes: int = NODES, hosts: Sequence[int] = HOSTS, runs: int, budget_s: float) -> None:
    """Create clusters over each number of hosts in turn, and print all tables."""
    began = time.monotonic()
    async with bed(max(hosts)) as racked:
        say(f"\nhosts: a rack of {max(hosts)} is prepared ({time.monotonic() - began:.1f} s)")
        await _create(racked, max(hosts), max(hosts))  # so that each host has the image, and all has run once
        deadline = time.monotonic() + budget_s
        found: dict[int, list[HostsRun]] = {count: [] for count in hosts}
        for number in range(runs):
            if number and time.monotonic() > deadline:
                say(f"  {runs - number} of {runs} rounds are left out: the time for them is over")
                break
            for count in hosts:
                run = await _create(racked, nodes, count)
                found[count].append(run)
                say(f"  {nodes} nodes over {count}: {run.total_s:.2f} s, {run.joined_s:.2f} s until all have joined")
        say(f"\n{report.walls(nodes, found)}")
        for count, of_count in found.items():
            say(f"\n{report.steps(count, of_count)}")
        say(f"\n{report.trips(nodes, found)}")


async def _create(racked: Racked, nodes: int, hosts: int) -> HostsRun:
    """Create a cluster on the first so many hosts, and take it away."""
    names = [host.name for host in racked.rack.hosts[:hosts]]
    installation = racked.installation
    began = time.time()
    cluster, operation_id = installation.create(_CLUSTER, nodes, hosts=names)
    operation = await installation.succeeded(operation_id)
    ended = time.time()
    assert sorted(set(racked.spread(cluster))) == names[: min(nodes, hosts)]
    trips = trips_of(installation.home / "log" / "carinad.log", began, ended)
    await installation.deleted(cluster["id"])
    return HostsRun(operation, trips)
