"""A cluster that is whole: the same in the API, on the host and for its people; containers on it reach each other."""

import machine
from installation import Installation, until
from people import answer, people_of
from swarm import PAGE

from activities.fabric import FABRIC

PROVED: dict[str, set[str]] = {"swarm": set(), "kubernetes": {"pod-network", "cluster-ip", "dns"}}
"""What Carina has proved of a cluster on one host, by orchestrator."""
PROBES_GONE_S = 20.0
"""They linger for some seconds after a proof."""


async def assert_whole(installation: Installation, cluster_id: str, nodes: int) -> None:
    """The cluster is active with exactly `nodes` nodes, in the API, on the host and for its people; it carries."""
    cluster = installation.cluster(cluster_id)
    assert (cluster["status"], cluster["node_count"], cluster["error"]) == ("active", nodes, None)
    works = {found["name"] for found in cluster["capabilities"] if found["works"]}
    listed = installation.nodes(cluster_id)
    proved = PROVED[cluster["cluster_type"]["coe"]]
    spans = len({node["host"] for node in listed}) > 1
    assert works - ({FABRIC} if installation.rack else set()) == proved
    assert FABRIC in works or not spans
    assert [node["state"] for node in listed] == ["active"] * nodes
    assert [node["role"] for node in listed] == ["manager", *["worker"] * (nodes - 1)]
    names = {node["container"] for node in listed}
    own = f"{installation.prefix}-{cluster['name']}-"
    assert {name for name in machine.containers(installation) if own in name} == names
    assert names <= machine.running(installation)
    with people_of(installation, cluster) as people:
        assert people.members() == sorted((node["name"], "ready") for node in listed)
        addresses = people.addresses
        assert await answer(people, addresses[-1], addresses[0]) == PAGE
        await until(lambda: people.leftovers() == [], PROBES_GONE_S, "Carina's probes are gone")
