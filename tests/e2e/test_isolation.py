"""Clusters of each kind at once: none waits for another, and none can reach another's nodes or a host."""

import asyncio
import http.server
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from itertools import product

import kube
import pytest
import swarm
from installation import Installation, Json, until
from machine import in_node

from domain.allocation import gateway


@pytest.fixture(scope="module")
async def trio(everywhere: Installation) -> AsyncIterator[list[Json]]:
    """Two Swarms and a Kubernetes with two nodes each, created at once; with them the operations that created them."""
    kinds = {"east": "swarm", "west": "swarm", "north": "kubernetes"}
    made = [everywhere.create(name, 2, kind=kind) for name, kind in kinds.items()]
    operations = await asyncio.gather(*(everywhere.succeeded(operation) for _, operation in made))
    clusters = [everywhere.cluster(cluster["id"]) for cluster, _ in made]
    yield [cluster | {"operation": each} for cluster, each in zip(clusters, operations, strict=True)]
    await asyncio.gather(*(everywhere.deleted(cluster["id"]) for cluster in clusters))


@pytest.fixture
def services(everywhere: Installation, trio: list[Json]) -> Iterator[list[tuple[str, int]]]:
    """Addresses and ports at which nodes could meet services of hosts, which listen on all that these have."""
    gateways = [gateway(cluster["subnet"]) for cluster in trio]
    with http.server.HTTPServer(("0.0.0.0", 0), http.server.SimpleHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        found = [(address, server.server_port) for address in gateways]
        if everywhere.rack:
            ssh = everywhere.rack[0].port
            found = [(address, ssh) for address in (*gateways, *(host.address for host in everywhere.rack))]
            found.append((everywhere.rack.address, server.server_port))
        yield found
        server.shutdown()
        thread.join()


def _seconds(parts: list[Json], step: str = "") -> list[tuple[datetime, datetime]]:
    """Beginning and end of each part; of those of one step only, if it is named."""
    return [
        (datetime.fromisoformat(found["started_at"]), datetime.fromisoformat(found["ended_at"]))
        for found in parts
        if not step or found["name"] == step
    ]


def _assert_overlap(one: list[tuple[datetime, datetime]], other: list[tuple[datetime, datetime]]) -> None:
    assert min(one)[0] < max(other)[1], "the other ended before the one began"
    assert min(other)[0] < max(one)[1], "the one ended before the other began"


async def _connects(installation: Installation, container: str, address: str, port: int) -> bool:
    script = f"exec timeout 2 bash -c ': < /dev/tcp/{address}/{port}'"
    done = await asyncio.to_thread(in_node, installation, container, "bash", "-c", script)
    return done.returncode == 0


async def _pings(installation: Installation, container: str, address: str) -> bool:
    done = await asyncio.to_thread(in_node, installation, container, "ping", "-c", "1", "-W", "1", address)
    return done.returncode == 0


async def test_creates_run_side_by_side(trio: list[Json]) -> None:
    east, west, north = (cluster["operation"] for cluster in trio)
    _assert_overlap(_seconds(east["steps"], "ensure_node"), _seconds(west["steps"], "ensure_node"))
    _assert_overlap(_seconds([west]), _seconds([north]))


async def test_a_node_reaches_its_own_cluster_only(everywhere: Installation, trio: list[Json]) -> None:
    ports = {"swarm": swarm.PORT, "kubernetes": kube.PORT}

    async def check(own: Json, other: Json) -> None:
        asker = everywhere.nodes(own["id"])[1]["container"]
        api, second = (node["address"] for node in everywhere.nodes(other["id"]))
        reached = await asyncio.gather(
            _connects(everywhere, asker, api, ports[other["cluster_type"]["coe"]]),
            _pings(everywhere, asker, api),
            _pings(everywhere, asker, second),
        )
        assert reached == [own is other] * 3, f"{own['name']} to {other['name']}"

    await asyncio.gather(*(check(own, other) for own, other in product(trio, trio)))


async def test_a_node_reaches_no_service_of_a_host(
    everywhere: Installation, trio: list[Json], services: list[tuple[str, int]]
) -> None:
    async def check(own: Json, node: Json) -> None:
        inside = node["container"]
        assert await _pings(everywhere, inside, gateway(own["subnet"])), "the way to the host is there"
        asked = (_connects(everywhere, inside, address, port) for address, port in services)
        reached = dict(zip(services, await asyncio.gather(*asked), strict=True))
        assert not any(reached.values()), f"{node['name']} reaches {reached}"

    await asyncio.gather(*(check(cluster, node) for cluster in trio for node in everywhere.nodes(cluster["id"])))
    for address, port in services:
        assert _is_open(everywhere, address, port), "there is something to reach"


def _is_open(installation: Installation, address: str, port: int) -> bool:
    """Whether a host of nodes reaches the port."""
    ask = ("timeout", "2", "bash", "-c", f": < /dev/tcp/{address}/{port}")
    befores = [host.attach() for host in installation.rack or ()] or [()]
    return any(subprocess.run((*before, *ask), check=False, capture_output=True).returncode == 0 for before in befores)


async def test_a_container_reaches_neither_another_clusters_nodes_nor_a_host(
    everywhere: Installation, trio: list[Json], services: list[tuple[str, int]]
) -> None:
    """Of containers, packets may carry addresses that are not their nodes'."""
    east, _, north = trio
    strangers = [(everywhere.nodes(east["id"])[0]["address"], swarm.PORT), *services]
    with kube.kube_of(everywhere, north) as people:
        first, second = people.addresses
        targets = " ".join(f"{address}:{port}" for address, port in [(first, kube.PORT), *strangers])
        ask = "nc -w 2 ${t%:*} ${t#*:} < /dev/null 2> /dev/null && echo open $t"
        script = f"for t in {targets}; do ({ask}) & done; wait; echo done"
        people.pod("asks", second, script)
        try:
            await until(lambda: "done" in people.log("asks"), 30, "the pod has asked all")
            assert people.log("asks").split("\n") == [f"open {first}:{kube.PORT}", "done"]
        finally:
            people.remove_pod("asks")
