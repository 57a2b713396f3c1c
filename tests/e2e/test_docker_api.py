"""The Docker API of a node takes the cluster's client certificate, and nothing else; plain Docker clients use it."""

import asyncio
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from credentials import credentials
from installation import BIN, Installation, Json
from people import answer
from swarm import PAGE, PORT, swarm_of

PING = b"GET /_ping HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
async def own(carina: Installation) -> AsyncIterator[Json]:
    cluster = await carina.active("own", 2)
    yield cluster
    await carina.deleted(cluster["id"])


@pytest.fixture(scope="module")
async def other(carina: Installation) -> AsyncIterator[Json]:
    cluster = await carina.active("other", 1)
    yield cluster
    await carina.deleted(cluster["id"])


def _ping(address: str, context: ssl.SSLContext | None) -> bytes:
    """Return what the node answers to a ping of its API. A refusal raises OSError (which TLS's errors are)."""
    with socket.create_connection((address, PORT), timeout=5) as plain:
        connection = plain if context is None else context.wrap_socket(plain, server_hostname=address)
        connection.sendall(PING)
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
        return answer


def _context(ca: Path, client: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca / "ca.pem"))
    if client is not None:
        context.load_cert_chain(client / "cert.pem", client / "key.pem")
    return context


async def test_a_node_answers_to_its_clusters_certificate_alone(carina: Installation, own: Json, other: Json) -> None:
    mine, strange = credentials(carina, own["id"]), credentials(carina, other["id"])
    for node in carina.nodes(own["id"]):
        address = node["address"]
        assert b"200 OK" in _ping(address, _context(mine, mine))
        for wrong in (None, strange):
            with pytest.raises(OSError, match=r"alert|certificate|reset|EOF"):
                _ping(address, _context(mine, wrong))


async def test_a_node_shows_a_certificate_of_its_own_cluster(carina: Installation, own: Json, other: Json) -> None:
    strange = credentials(carina, other["id"])
    for node in carina.nodes(own["id"]):
        with pytest.raises(ssl.SSLCertVerificationError):
            _ping(node["address"], _context(strange, strange))


async def test_a_node_does_not_speak_in_the_clear(carina: Installation, own: Json) -> None:
    for node in carina.nodes(own["id"]):
        answer = _ping(node["address"], None)
        assert b"200 OK" not in answer
        assert b"HTTPS" in answer, "it says what it wants instead"
        for port in (2375, 22):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((node["address"], port), timeout=2)


async def test_the_printed_environment_serves_an_unmodified_docker_client(carina: Installation, own: Json) -> None:
    ask = "import docker; print(docker.from_env().info()['Swarm']['Nodes'])"
    script = f'eval "$({BIN / "carina"} env own)" && exec {sys.executable} -c "$1"'
    # Python's requests would take the machine's own authorities, where they are named, for the only ones.
    environment = {name: value for name, value in carina.environment.items() if not name.endswith("_CA_BUNDLE")}
    command = ["bash", "-euc", script, "ask", ask]
    done = await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "2"


async def test_keys_on_a_users_disk_are_for_its_owner_alone(carina: Installation, own: Json) -> None:
    carina.carina("credentials", "own", "--dir", str(carina.user_home / "unpacked"))
    files = list((carina.user_home / "unpacked").iterdir())
    assert {"ca.pem", "cert.pem", "key.pem", "docker.env"} <= {file.name for file in files}
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


async def test_an_overlay_carries_answers_between_nodes(carina: Installation, own: Json) -> None:
    with swarm_of(carina, own) as swarm:
        first, second = swarm.addresses
        assert await answer(swarm, first, second) == PAGE
