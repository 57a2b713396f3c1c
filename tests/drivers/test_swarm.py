"""Docker Swarm on real nodes: Docker Engines in LXC containers, spoken to over TLS."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio
from conftest import RealHost
from docker.errors import APIError
from docker_nodes import DockerNodes, docker_nodes, until
from realhost import READY_TIMEOUT_S
from requests import RequestException

from domain.errors import DockerSilent, OverlayFailed, OverlayUnreachable, SwarmFailed
from domain.nodes import Member
from domain.overlays import Overlay
from domain.secrets import Access
from drivers.docker_client import DOCKER_PORT, Engines
from drivers.pki import CertificatePki
from drivers.swarm import Swarm
from drivers.swarm_overlays import LABEL as OVERLAY_LABEL
from drivers.swarm_probe import LABEL as PROBE_LABEL
from drivers.swarm_probe import remove
from drivers.tls import tls_context

OVERLAY = Overlay("carina", "10.48.0.0/24", 1450)
IMAGE = "carina/probe:1"


@pytest.fixture(scope="module")
def orchestrator() -> Iterator[Swarm]:
    swarm = Swarm(CertificatePki(), patience_s=10, linger_s=1)
    yield swarm
    swarm.close()


@pytest_asyncio.fixture(scope="module")
async def nodes(real_host: RealHost) -> AsyncIterator[DockerNodes]:
    async with docker_nodes(real_host) as made:
        yield made


@pytest_asyncio.fixture
async def engines(nodes: DockerNodes) -> AsyncIterator[Engines]:
    """The nodes' engines, none of them in a swarm, nothing running on them."""
    await nodes.start_all()
    with Engines(nodes.access) as connections:
        for member in nodes.members:
            engine = connections.at(member)
            for container in engine.containers(all=True):
                remove(engine, container["Id"])  # a probe of the test before may be going by itself
        await asyncio.to_thread(nodes.leave_swarms)
        yield connections


@pytest_asyncio.fixture
async def formed(orchestrator: Swarm, nodes: DockerNodes, engines: Engines) -> Swarm:
    """A swarm of all the nodes."""
    manager, *workers = nodes.members
    await orchestrator.form(manager, nodes.access)
    await asyncio.gather(*(orchestrator.join(manager, worker, nodes.access) for worker in workers))
    return orchestrator


def listed(engines: Engines, nodes: DockerNodes) -> list[tuple[str, str]]:
    entries = engines.at(nodes.members[0]).nodes()
    return sorted((entry["Description"]["Hostname"], entry["Status"]["State"]) for entry in entries)


def whole(members: list[Member]) -> list[tuple[str, str]]:
    return sorted((member.name, "ready") for member in members)


def containers(engines: Engines, nodes: DockerNodes) -> list[str]:
    return [container["Id"] for member in nodes.members for container in engines.at(member).containers(all=True)]


def assert_no_containers(engines: Engines, nodes: DockerNodes) -> None:
    """Probes go by themselves, a moment after a proof."""
    until = time.monotonic() + READY_TIMEOUT_S / 6
    while left := containers(engines, nodes):
        assert time.monotonic() < until, f"containers are left: {left}"
        time.sleep(0.02)


async def eventually(answers: Callable[[], object], timeout_s: float = 90) -> None:
    """Ask until there is an answer."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            await asyncio.to_thread(answers)
        except (APIError, RequestException):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)
        else:
            return


def attach(engines: Engines, member: Member, name: str) -> None:
    """Run a container on the overlay network, as people do."""
    config = {
        "Image": IMAGE,
        "Entrypoint": ["/bin/busybox", "sleep", "600"],
        "HostConfig": {"NetworkMode": OVERLAY.name, "Binds": ["/bin/busybox:/bin/busybox:ro"]},
    }
    engines.at(member).create_container_from_config(config, name=name)
    engines.at(member).start(name)


async def test_forming_and_joining_twice_is_the_same_as_once(
    orchestrator: Swarm, nodes: DockerNodes, engines: Engines
) -> None:
    manager, *workers = nodes.members
    await orchestrator.form(manager, nodes.access)
    first = engines.at(manager).inspect_swarm()["ID"]
    await orchestrator.form(manager, nodes.access)
    assert engines.at(manager).inspect_swarm()["ID"] == first
    for _ in range(2):
        await asyncio.gather(*(orchestrator.join(manager, worker, nodes.access) for worker in workers))
    assert listed(engines, nodes) == whole(nodes.members)
    assert await orchestrator.health(manager, nodes.access) == {member.name: True for member in nodes.members}


async def test_a_member_of_another_swarm_is_moved(orchestrator: Swarm, nodes: DockerNodes, engines: Engines) -> None:
    manager, worker, other = nodes.members
    await orchestrator.form(other, nodes.access)
    await orchestrator.join(other, worker, nodes.access)
    await orchestrator.form(manager, nodes.access)
    await orchestrator.join(manager, worker, nodes.access)
    assert listed(engines, nodes) == whole([manager, worker])


async def test_a_join_cut_short_by_the_death_of_docker_is_made_whole(
    orchestrator: Swarm, nodes: DockerNodes, engines: Engines
) -> None:
    manager, worker, _ = nodes.members
    await orchestrator.form(manager, nodes.access)
    attempt = asyncio.create_task(orchestrator.join(manager, worker, nodes.access))
    # The manager knows of the node: the join is under way.
    await asyncio.to_thread(until, lambda: len(engines.at(manager).nodes()) > 1)
    await asyncio.to_thread(nodes.kill_docker, worker)
    with contextlib.suppress(SwarmFailed, DockerSilent):
        await attempt
    await nodes.start_all()
    await orchestrator.join(manager, worker, nodes.access)
    assert listed(engines, nodes) == whole([manager, worker])


async def test_a_node_made_anew_replaces_its_stale_entry(formed: Swarm, nodes: DockerNodes, engines: Engines) -> None:
    manager, worker, _ = nodes.members
    engines.at(worker).leave_swarm(force=True)  # as a fresh disk knows nothing of the swarm
    await formed.join(manager, worker, nodes.access)
    assert listed(engines, nodes) == whole(nodes.members)


async def test_draining_and_leaving_twice_is_the_same_as_once(
    formed: Swarm, nodes: DockerNodes, engines: Engines
) -> None:
    manager, worker, leaver = nodes.members
    for _ in range(2):
        await formed.drain(manager, leaver, nodes.access)
    for _ in range(2):
        await formed.leave(manager, leaver, nodes.access)
    assert listed(engines, nodes) == whole([manager, worker])
    assert engines.at(leaver).info()["Swarm"]["LocalNodeState"] == "inactive"


async def test_draining_moves_a_services_tasks_away(formed: Swarm, nodes: DockerNodes, engines: Engines) -> None:
    manager, _, leaver = nodes.members
    managing = engines.at(manager)
    node_id = next(entry["ID"] for entry in managing.nodes() if entry["Description"]["Hostname"] == leaver.name)
    service = managing.create_service(
        {
            "ContainerSpec": {
                "Image": managing.inspect_image(IMAGE)["Id"],  # by its id, Docker asks no registry for it
                "Command": ["/bin/busybox", "sleep", "600"],
                "Mounts": [{"Type": "bind", "Source": "/bin/busybox", "Target": "/bin/busybox", "ReadOnly": True}],
                "StopGracePeriod": 1_000_000,  # ns: the command does not mind signals
            },
        },
        name="work",
        mode={"Replicated": {"Replicas": 3}},
    )
    try:
        await asyncio.to_thread(until, lambda: bool(engines.at(leaver).containers()))
        await formed.drain(manager, leaver, nodes.access)
        live = [task for task in managing.tasks(filters={"node": node_id}) if task["Status"]["State"] == "running"]
        assert live == []
        await formed.undrain(manager, leaver, nodes.access)
        assert managing.inspect_node(node_id)["Spec"]["Availability"] == "active"
    finally:
        managing.remove_service(service["ID"])


async def test_a_dead_node_leaves(formed: Swarm, nodes: DockerNodes, engines: Engines) -> None:
    manager, worker, dead = nodes.members
    await asyncio.to_thread(nodes.stop, dead)
    await formed.drain(manager, dead, nodes.access)
    await formed.leave(manager, dead, nodes.access)
    assert listed(engines, nodes) == whole([manager, worker])


async def test_an_engine_that_does_not_answer_is_named(
    orchestrator: Swarm, nodes: DockerNodes, engines: Engines
) -> None:
    silent = nodes.members[2]
    await asyncio.to_thread(nodes.stop, silent)
    with pytest.raises(DockerSilent, match=silent.address):
        await orchestrator.form(silent, nodes.access)


async def test_an_overlay_is_made_once_as_described(formed: Swarm, nodes: DockerNodes, engines: Engines) -> None:
    manager = nodes.members[0]
    await formed.ensure_overlay(nodes.members, OVERLAY, nodes.access)
    first = engines.at(manager).inspect_network(OVERLAY.name)
    await formed.ensure_overlay(nodes.members, OVERLAY, nodes.access)
    assert engines.at(manager).inspect_network(OVERLAY.name)["Id"] == first["Id"]
    assert first["Options"]["com.docker.network.driver.mtu"] == "1450"
    assert first["IPAM"]["Config"][0]["Subnet"] == OVERLAY.subnet
    assert first["Attachable"]


async def test_an_overlay_of_ours_that_differs_is_made_anew(
    formed: Swarm, nodes: DockerNodes, engines: Engines
) -> None:
    manager = nodes.members[0]
    await formed.ensure_overlay(nodes.members, Overlay("carina", "10.49.0.0/24", 1400), nodes.access)
    await formed.ensure_overlay(nodes.members, OVERLAY, nodes.access)
    network = engines.at(manager).inspect_network(OVERLAY.name)
    assert network["IPAM"]["Config"][0]["Subnet"] == OVERLAY.subnet


async def test_a_network_of_somebody_else_is_left_alone(formed: Swarm, nodes: DockerNodes, engines: Engines) -> None:
    manager = nodes.members[0]
    theirs = engines.at(manager).create_network(OVERLAY.name, driver="overlay", attachable=True)
    with pytest.raises(OverlayFailed, match="did not make"):
        await formed.ensure_overlay(nodes.members, OVERLAY, nodes.access)
    await formed.remove_overlay(nodes.members, OVERLAY.name, nodes.access)
    network = engines.at(manager).inspect_network(OVERLAY.name)
    assert network["Id"] == theirs["Id"]
    assert OVERLAY_LABEL not in (network["Labels"] or {})


async def test_an_overlay_is_removed_once_and_for_all(formed: Swarm, nodes: DockerNodes, engines: Engines) -> None:
    manager = nodes.members[0]
    await formed.ensure_overlay(nodes.members, OVERLAY, nodes.access)
    for _ in range(2):
        await formed.remove_overlay(nodes.members, OVERLAY.name, nodes.access)
    with pytest.raises(APIError, match="not found"):
        engines.at(manager).inspect_network(OVERLAY.name)


async def test_an_overlay_in_use_stays_and_its_containers_are_named(
    formed: Swarm, nodes: DockerNodes, engines: Engines
) -> None:
    _, worker, _ = nodes.members
    await formed.ensure_overlay(nodes.members, OVERLAY, nodes.access)
    attach(engines, worker, "web")
    with pytest.raises(OverlayFailed, match=f"in use by container web on {worker.name}"):
        await formed.remove_overlay(nodes.members, OVERLAY.name, nodes.access)
    engines.at(worker).remove_container("web", force=True)
    await formed.remove_overlay(nodes.members, OVERLAY.name, nodes.access)


async def test_what_an_engine_could_not_start_again_without_its_swarm_is_started(
    formed: Swarm, nodes: DockerNodes, engines: Engines
) -> None:
    manager, worker, _ = nodes.members
    await formed.ensure_overlay(nodes.members, OVERLAY, nodes.access)
    attach(engines, worker, "web")
    engines.at(worker).update_container("web", restart_policy={"Name": "always"})
    assert await formed.start_unattached(worker, nodes.access) == []
    nodes.run(manager, "systemctl", "stop", "docker.socket", "docker.service")
    try:
        nodes.run(worker, "systemctl", "stop", "docker.socket", "docker.service")
        nodes.run(worker, "systemctl", "start", "--no-block", "docker.service")
        await eventually(engines.at(worker).ping)
        assert engines.at(worker).inspect_container("web")["State"]["Running"] is False
    finally:
        nodes.run(manager, "systemctl", "start", "docker.service")
    everyone = {member.name: True for member in nodes.members}
    while await formed.health(manager, nodes.access) != everyone:  # noqa: ASYNC110 - a swarm tells only when asked
        await asyncio.sleep(0.2)
    assert engines.at(worker).inspect_container("web")["State"]["Running"] is False, "Docker does not try again"
    assert await formed.start_unattached(worker, nodes.access) == ["web"]
    assert engines.at(worker).inspect_container("web")["State"]["Running"] is True
    assert await formed.start_unattached(worker, nodes.access) == []
    engines.at(worker).remove_container("web", force=True)


async def test_a_sound_overlay_is_proved_and_nothing_is_left_of_that(
    formed: Swarm, nodes: DockerNodes, engines: Engines
) -> None:
    await formed.ensure_overlay(nodes.members, OVERLAY, nodes.access)
    for members in (nodes.members, nodes.members[:1]):
        await formed.verify(members, OVERLAY, nodes.access)
        assert_no_containers(engines, nodes)


async def test_a_proof_while_probes_of_the_one_before_linger_replaces_them(
    formed: Swarm, nodes: DockerNodes, engines: Engines
) -> None:
    await formed.ensure_overlay(nodes.members, OVERLAY, nodes.access)
    with contextlib.closing(Swarm(CertificatePki(), patience_s=10, linger_s=30)) as before_that:
        await before_that.verify(nodes.members, OVERLAY, nodes.access)
    before = set(containers(engines, nodes))
    await formed.verify(nodes.members, OVERLAY, nodes.access)
    assert before
    assert before.isdisjoint(containers(engines, nodes))
    assert_no_containers(engines, nodes)


async def test_an_overlay_is_removed_right_after_its_proof(formed: Swarm, nodes: DockerNodes, engines: Engines) -> None:
    await formed.ensure_overlay(nodes.members, OVERLAY, nodes.access)
    await formed.verify(nodes.members, OVERLAY, nodes.access)
    await formed.remove_overlay(nodes.members, OVERLAY.name, nodes.access)
    assert_no_containers(engines, nodes)


async def test_an_overlay_for_services_only_is_proved_by_a_service(
    formed: Swarm, nodes: DockerNodes, engines: Engines
) -> None:
    manager, _, broken = nodes.members
    closed = Overlay("closed", "10.50.0.0/24", 1450, attachable=False)
    await formed.ensure_overlay(nodes.members, closed, nodes.access)
    await formed.verify(nodes.members, closed, nodes.access)
    rule = ("INPUT", "-p", "udp", "--dport", "4789", "-j", "DROP")
    nodes.run(broken, "iptables", "-I", *rule)
    try:
        with pytest.raises(OverlayUnreachable, match=f"{manager.name} does not reach {broken.name}"):
            await formed.verify(nodes.members, closed, nodes.access)
    finally:
        nodes.run(broken, "iptables", "-D", *rule)
    assert_no_containers(engines, nodes)
    assert engines.at(manager).services() == []


async def test_what_a_killed_check_left_is_removed_by_the_next(
    formed: Swarm, nodes: DockerNodes, engines: Engines
) -> None:
    _, worker, _ = nodes.members
    await formed.ensure_overlay(nodes.members, OVERLAY, nodes.access)
    leftover = {"Image": IMAGE, "Entrypoint": ["/bin/busybox"], "Labels": {PROBE_LABEL: "carina"}}
    engines.at(worker).create_container_from_config(leftover, name="probe-left-1")
    await formed.verify(nodes.members, OVERLAY, nodes.access)
    assert_no_containers(engines, nodes)


async def test_an_overlay_is_proved_on_a_node_whose_image_somebody_removed(
    formed: Swarm, nodes: DockerNodes, engines: Engines
) -> None:
    manager = nodes.members[0]
    engines.at(manager).remove_image(IMAGE, force=True)
    await formed.ensure_overlay(nodes.members, OVERLAY, nodes.access)
    await formed.verify(nodes.members, OVERLAY, nodes.access)


async def test_a_node_whose_overlay_traffic_is_dropped_is_named(
    formed: Swarm, nodes: DockerNodes, engines: Engines
) -> None:
    manager, worker, broken = nodes.members
    await formed.ensure_overlay(nodes.members, OVERLAY, nodes.access)
    rule = ("INPUT", "-p", "udp", "--dport", "4789", "-j", "DROP")
    nodes.run(broken, "iptables", "-I", *rule)
    try:
        with pytest.raises(OverlayUnreachable) as caught:
            await formed.verify(nodes.members, OVERLAY, nodes.access)
    finally:
        nodes.run(broken, "iptables", "-D", *rule)
    assert f"{broken.name} does not reach {manager.name}" in caught.value.detail
    assert f"{manager.name} does not reach {broken.name}" in caught.value.detail
    assert f"{worker.name} does not reach {manager.name}" not in caught.value.detail
    assert_no_containers(engines, nodes)


async def test_full_packets_that_get_lost_are_found(formed: Swarm, nodes: DockerNodes, engines: Engines) -> None:
    manager, _, broken = nodes.members
    await formed.ensure_overlay(nodes.members, OVERLAY, nodes.access)
    rule = ("INPUT", "-p", "udp", "--dport", "4789", "-m", "length", "--length", "1300:", "-j", "DROP")
    nodes.run(broken, "iptables", "-I", *rule)
    try:
        with pytest.raises(OverlayUnreachable, match=f"{broken.name} does not reach {manager.name}.*full packets"):
            await formed.verify([manager, broken], OVERLAY, nodes.access)
    finally:
        nodes.run(broken, "iptables", "-D", *rule)


def test_docker_answers_only_to_the_clusters_own_certificate(nodes: DockerNodes, engines: Engines) -> None:
    address = nodes.members[0].address
    assert "200 OK" in ask(address, tls_context(nodes.access))

    stranger = CertificatePki().authority("another cluster")
    client = CertificatePki().client(stranger, name="another cluster's owner")
    with pytest.raises(ssl.SSLError):
        ask(address, tls_context(Access(nodes.access.ca_pem, client)))

    bare = ssl.create_default_context(cadata=nodes.access.ca_pem.decode())
    with pytest.raises(ssl.SSLError):
        ask(address, bare)

    assert "200 OK" not in ask(address, None)


def test_an_engine_under_another_authority_is_not_trusted(nodes: DockerNodes, engines: Engines) -> None:
    stranger = CertificatePki().authority("another cluster")
    access = Access(stranger.cert_pem, nodes.access.client)
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(nodes.members[0].address, tls_context(access))


def ask(address: str, context: ssl.SSLContext | None) -> str:
    """Ask a Docker Engine whether it is there, in clear if there is no context; return its answer."""
    with socket.create_connection((address, DOCKER_PORT), timeout=5) as plain:
        stream = context.wrap_socket(plain, server_hostname=address) if context else plain
        with stream:
            stream.sendall(f"GET /_ping HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
            return stream.recv(4096).decode()
