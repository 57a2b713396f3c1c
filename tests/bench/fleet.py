"""A simulated fleet: `python -m tests.bench --only fleet`. The control plane is real, its hosts and nodes only wait.

API, worker, Temporal's server and the database run as processes of their own, and are asked over HTTP.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.bench import fleet_report as report
from tests.bench.fleet_load import NODES, Level, people_of
from tests.bench.fleet_place import SQLITE, fleet_place
from tests.bench.fleet_usage import Usage
from tests.bench.fleet_waits import FLOOR_S

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How much is measured. `levels` are pairs: creates at once, and creates in all; clusters of the last one stay.

    Nobody waits for anything when `budget_s` seconds are over.
    """

    hosts: int
    levels: Sequence[tuple[int, int]]
    budget_s: float


WHOLE = Plan(200, ((1, 3), (10, 20), (50, 50), (200, 200)), 600.0)
QUICK = Plan(20, ((1, 2), (10, 10)), 50.0)


async def measure(plan: Plan, say: Say, database: str = SQLITE) -> bool:
    """Run the load, print all tables, and return whether all that was asked for came about."""
    deadline = time.monotonic() + plan.budget_s
    async with fleet_place(database) as place:
        say(f"\nfleet: {plan.hosts} hosts, clusters of {NODES} nodes, {FLOOR_S:.2f} s of waits in a create, {database}")
        usage = Usage(place.roots)
        empty, sizes = usage.memory(), {"empty": place.sizes()}
        levels: dict[str, Level] = {}
        async with people_of(place.installation, usage, deadline) as people:
            hosts = levels[f"adding {plan.hosts} hosts"] = await people.add_hosts(plan.hosts)
            sizes["with hosts"] = place.sizes()
            say(f"  {len(hosts.times_s)} hosts are ready ({hosts.took_s:.1f} s, {hosts.per_minute:.0f} a minute)")
            created: list[Level] = []
            for at_once, count in plan.levels:
                if created:
                    gone = levels[f"deleting, {created[-1].at_once} at once"] = await people.delete_all(
                        created[-1].at_once
                    )
                    say(f"  {len(gone.times_s)} clusters are deleted ({gone.per_minute:.0f} a minute)")
                level = levels[f"creating, {at_once} at once"] = await people.create(at_once, count)
                created.append(level)
                sizes[f"after {at_once} at once"] = place.sizes()
                say(f"  {len(level.times_s)} clusters, {at_once} at once ({level.per_minute:.0f} a minute)")
        say(f"\n{report.throughput(created)}")
        say(f"\n{report.where_time_goes(created)}")
        say(f"\n{report.usage(levels)}")
        say("\n".join(report.saturation(title, level) for title, level in levels.items()))
        say(f"\n{report.memory(empty, usage.memory())}")
        say(f"\n{report.sizes(sizes)}")
    for title, level in levels.items():
        for failure in level.failures[:3]:
            say(f"  failed: {title}: {failure}")
    return not any(level.failures or level.unfinished for level in levels.values())
