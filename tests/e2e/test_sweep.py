"""The sweep: what has our stamp and no row goes after the grace period; what has a row and is gone is reported."""

import time

import machine
from installation import Installation
from records import held_by
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


async def test_a_node_removed_by_hand_shows_as_a_condition(carina: Installation) -> None:
    cluster = await carina.active("robbed", 2)
    assert (cluster["health"], cluster["conditions"]) == ("healthy", [])
    lost = carina.nodes(cluster["id"])[1]
    machine.run("lxc-stop", "-k", "-P", str(carina.nodes_dir), "-n", lost["container"])
    await sweep(carina)
    stopped = carina.cluster(cluster["id"])
    assert (stopped["status"], stopped["health"]) == ("active", "degraded")
    assert [(c["type"], c["node"]) for c in stopped["conditions"]] == [("node-stopped", lost["name"])]

    directory = carina.nodes_dir / lost["container"]
    machine.run("btrfs", "subvolume", "delete", str(directory / "rootfs"))
    machine.run("rm", "-rf", str(directory))
    await sweep(carina)
    robbed = carina.cluster(cluster["id"])
    assert robbed["health"] == "degraded"
    assert [(c["type"], c["node"]) for c in robbed["conditions"]] == [("node-missing", lost["name"])]
    assert held_by(carina, cluster["id"])["nodes"], "it is reported, not forgotten"
    await carina.deleted(cluster["id"])
