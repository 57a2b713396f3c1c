"""Clusters over several hosts, from the first `host add` to nothing left: the whole product, over real SSH."""

import secrets
import subprocess
from collections.abc import AsyncIterator

import httpx
import pytest
from installation import Json, describe, until
from people import every_kind, people_of
from racked import Racked, failed, racked
from swarm import PAGE
from sweeping import sweep_until

from tests.rack.host import RackHost

PORT = 18080


@pytest.fixture(scope="module")
async def bed() -> AsyncIterator[Racked]:
    async with racked(3, spare=1) as made:
        yield made


async def test_a_host_that_is_prepared_again_stays_as_it_was(bed: Racked) -> None:
    [machine, *_] = bed.rack
    before = machine.traces()
    operation = await bed.task("rack1", "prepare")
    assert operation["state"] == "succeeded", describe(operation)
    assert machine.traces() == before
    assert "nothing" in _add(bed, machine, "again", machine.host_key, "--dry-run").stdout.lower()
    assert bed.installation.get("/hosts?name=again")["hosts"] == []


async def test_a_dry_run_tells_what_would_change_and_changes_nothing(bed: Racked) -> None:
    spare = bed.rack[3]
    before = spare.traces()
    spare.run("dpkg --remove --force-depends zstd")
    said = _add(bed, spare, "spare", spare.host_key, "--dry-run")
    assert said.returncode == 0, said.stderr
    assert "zstd" in said.stdout
    assert spare.traces() == before
    assert spare.run("command -v zstd", check=False) == ""
    assert bed.installation.get("/hosts?name=spare")["hosts"] == []


async def test_a_host_with_another_key_than_expected_is_refused(bed: Racked) -> None:
    spare, other = bed.rack[3], bed.rack[1]
    refused = _add(bed, spare, "spare", other.host_key)
    assert refused.returncode != 0
    assert "key" in refused.stderr
    assert spare.leftovers() == []
    bed.installation.carina("host", "remove", "spare", "--force", "--yes", check=False)


def _add(bed: Racked, machine: RackHost, name: str, key: str, *options: str) -> subprocess.CompletedProcess[str]:
    where = (f"--address={machine.address}", f"--identity={machine.identity}", f"--host-key={key}")
    return bed.installation.carina("host", "add", name, *where, *options, check=False)


@every_kind
async def test_the_life_of_a_cluster_over_three_hosts(bed: Racked, kind: str) -> None:
    carina = bed.installation
    cluster = await carina.active("story", 3, kind=kind)
    assert sorted(bed.spread(cluster)) == ["rack1", "rack2", "rack3"]
    await _assert_lives(bed, cluster, 3)

    await _publish(bed, cluster)
    await carina.succeeded(carina.resize(cluster["id"], 4))
    await _assert_lives(bed, cluster, 4)
    await carina.succeeded(carina.resize(cluster["id"], 3))

    await _reboot(bed, cluster)
    await _drain(bed, cluster)
    await _lose(bed, cluster)

    await carina.deleted(cluster["id"])
    for machine in bed.rack:
        assert bed.left_on(machine, "story") == []


async def test_hosts_that_are_removed_keep_nothing(bed: Racked) -> None:
    for machine in bed.rack.hosts[:3]:
        bed.installation.carina("host", "remove", machine.name, "--yes")
        assert machine.leftovers() == []


async def _assert_lives(bed: Racked, cluster: Json, nodes: int) -> None:
    """The native API answers where hosts publish it, with all nodes ready; containers on each reach the next."""
    cluster = bed.installation.cluster(cluster["id"])
    assert (cluster["status"], cluster["node_count"], cluster["error"]) == ("active", nodes, None)
    assert [found["works"] for found in cluster["capabilities"] if found["name"] == "fabric"] == [True]
    [manager] = [node for node in bed.installation.nodes(cluster["id"]) if node["role"] == "manager"]
    assert manager["endpoint"] == cluster["endpoint"]
    assert f"//{bed.machine(manager['host']).address}:2" in cluster["endpoint"]
    with people_of(bed.installation, cluster) as people:
        await until(lambda: people.ready() == nodes, 90, f"{nodes} nodes are ready")
        assert [state for _, state in people.members()] == ["ready"] * nodes
        addresses = people.addresses
        # All servers first: an engine whose last container on a network goes, and comes back at once, may be missed by
        # others for a minute (Docker's gossip), and the probes that proved the network go about now.
        webs = {f"web-{secrets.token_hex(3)}": address for address in addresses}
        for name, address in webs.items():
            people.run(name, address)
        for name, asker in zip(webs, [*addresses[1:], addresses[0]], strict=True):
            assert await people.fetch(asker, name) == PAGE
        for name, address in webs.items():
            people.remove(name, address)


async def _publish(bed: Racked, cluster: Json) -> None:
    """A port of every host that has nodes leads to one of them, from the test machine's network."""
    with people_of(bed.installation, cluster) as people:
        port = people.serve_outside("front", 3)
    bed.installation.carina("publish", "story", f"{PORT}:{port}")
    for machine in bed.rack.hosts[:3]:
        await _page_is_there(machine)
    [listed] = bed.installation.get(f"/clusters/{cluster['id']}/publications")["publications"]
    assert sorted(listed["addresses"]) == sorted(f"{machine.address}:{PORT}" for machine in bed.rack.hosts[:3])


async def _reboot(bed: Racked, cluster: Json) -> None:
    """A rebooted host brings its nodes, their addresses, their network and the published port back by itself."""
    nodes = bed.installation.nodes(cluster["id"])
    machine = bed.machine(nodes[1]["host"])
    machine.reboot()
    await _page_is_there(machine)
    assert bed.installation.nodes(cluster["id"]) == nodes
    await _assert_lives(bed, cluster, 3)


async def _page_is_there(machine: RackHost) -> None:
    await until(lambda: _page(machine) == PAGE, 90, f"{machine.name} shows the page of its node")


def _page(machine: RackHost) -> str:
    try:
        return httpx.get(f"http://{machine.address}:{PORT}/", timeout=5, trust_env=False).text.strip()
    except httpx.TransportError:
        return ""


async def _drain(bed: Racked, cluster: Json) -> None:
    """A worker's host is emptied; the manager's says why it can't be."""
    nodes = bed.installation.nodes(cluster["id"])
    manager = next(node for node in nodes if node["role"] == "manager")
    worker = next(node for node in nodes if node["host"] != manager["host"])
    operation = await bed.task(worker["host"], "drain")
    assert operation["state"] == "succeeded", describe(operation)
    assert worker["host"] not in bed.spread(cluster)
    assert bed.left_on(bed.machine(worker["host"]), "story") == []
    await _assert_lives(bed, cluster, 3)
    assert "manager" in failed(await bed.task(manager["host"], "drain"))
    for host in (worker["host"], manager["host"]):
        bed.installation.carina("host", "uncordon", host)


async def _lose(bed: Racked, cluster: Json) -> None:
    """A dead host is removed by force: its nodes are replaced. It returns as a new host, and its leftovers go."""
    manager, *workers = bed.installation.nodes(cluster["id"])
    machine = bed.machine(next(node["host"] for node in workers if node["host"] != manager["host"]))
    machine.power_off()
    refused = bed.installation.carina("host", "remove", machine.name, "--yes", check=False)
    assert refused.returncode != 0, refused.stdout
    operation = await bed.task(machine.name, "remove", force=True)
    assert operation["state"] == "succeeded", describe(operation)
    assert machine.name not in bed.spread(cluster)
    await _assert_lives(bed, cluster, 3)
    machine.power_on()
    bed.add([machine])
    await sweep_until(bed.installation, lambda: bed.left_on(machine, "story") == [])
