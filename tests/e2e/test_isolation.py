"""Two clusters at once: neither waits for the other, and neither can reach the other's nodes or the host."""

import asyncio
import http.server
import threading
from collections.abc import Iterator
from datetime import datetime

import pytest
from installation import Installation, Json
from machine import in_node

from domain.allocation import gateway


@pytest.fixture(scope="module")
async def pair(carina: Installation) -> tuple[Json, Json]:
    """Two clusters with two nodes each, created at once; with them the operations that created them."""
    made = [carina.create(name, 2) for name in ("east", "west")]
    operations = await asyncio.gather(*(carina.succeeded(operation) for _, operation in made))
    east, west = (carina.cluster(cluster["id"]) for cluster, _ in made)
    return east | {"operation": operations[0]}, west | {"operation": operations[1]}


@pytest.fixture
def host_port() -> Iterator[int]:
    """The port of a service that listens on all of the host's addresses."""
    with http.server.HTTPServer(("0.0.0.0", 0), http.server.SimpleHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def _seconds(operation: Json, step: str) -> list[tuple[datetime, datetime]]:
    return [
        (datetime.fromisoformat(found["started_at"]), datetime.fromisoformat(found["ended_at"]))
        for found in operation["steps"]
        if found["name"] == step
    ]


def _connects(installation: Installation, container: str, address: str, port: int) -> bool:
    script = f"exec timeout 2 bash -c ': < /dev/tcp/{address}/{port}'"
    return in_node(installation, container, "bash", "-c", script).returncode == 0


def _pings(installation: Installation, container: str, address: str) -> bool:
    return in_node(installation, container, "ping", "-c", "1", "-W", "1", address).returncode == 0


async def test_two_creates_run_side_by_side(pair: tuple[Json, Json]) -> None:
    for step in ("ensure_node", "verify_overlay"):
        east, west = (_seconds(cluster["operation"], step) for cluster in pair)
        assert min(east)[0] < max(west)[1], f"{step}: west ended before east began"
        assert min(west)[0] < max(east)[1], f"{step}: east ended before west began"


async def test_a_node_reaches_its_own_cluster_only(carina: Installation, pair: tuple[Json, Json]) -> None:
    east, west = (carina.nodes(cluster["id"]) for cluster in pair)
    inside = east[0]["container"]
    assert _pings(carina, inside, east[1]["address"])
    assert _connects(carina, inside, east[1]["address"], 2376)
    for node in west:
        assert not _pings(carina, inside, node["address"])
        assert not _connects(carina, inside, node["address"], 2376)


async def test_a_node_reaches_no_service_of_the_host(
    carina: Installation, pair: tuple[Json, Json], host_port: int
) -> None:
    inside = carina.nodes(pair[0]["id"])[0]["container"]
    gateways = [gateway(cluster["subnet"]) for cluster in pair]
    assert _pings(carina, inside, gateways[0]), "the way to the host is there"
    for address in gateways:
        assert not _connects(carina, inside, address, host_port)
        with_host = await asyncio.open_connection(address, host_port)
        with_host[1].close()
        await with_host[1].wait_closed()
