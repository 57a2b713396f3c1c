"""The sweep: what has our stamp and no row goes after the grace period, and nothing else."""

import time

import machine
from installation import Installation
from sweeping import sweep, sweep_until
from writing import forget_node

GRACE_S = 3.0


async def test_a_container_without_a_row_goes_after_the_grace_period_and_not_before(carina: Installation) -> None:
    cluster = await carina.active("orphaned", 2)
    orphan = carina.nodes(cluster["id"])[1]
    forget_node(carina, orphan["id"])
    began = time.monotonic()
    await sweep(carina)
    assert orphan["container"] in machine.running(carina), "one look is not enough"

    await sweep_until(carina, lambda: orphan["container"] not in machine.containers(carina))
    assert time.monotonic() - began >= GRACE_S
    others = {node["container"] for node in carina.nodes(cluster["id"])}
    assert others <= machine.running(carina), "what has a row stays"
    await carina.deleted(cluster["id"])
