"""No private key, join token or credential in a history, a log line, an argv, an environment or a clear column.

A cluster of each kind is created, grown and shrunk while the command lines and environments of all processes of the
instance are sampled; then all that is written down is searched for the real values, in the forms that they could have
been written in.
"""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from credentials import credentials
from installation import Installation, Json
from machine import place_of, places
from needles import Needle, needles_of, private_keys
from people import KINDS
from records import rows
from sampling import ProcessSampler
from swarm import swarm_of
from sweeping import temporal

from activities.secrets import AUTHORITY, CLIENT, KEYS, ClusterSecrets
from worker.settings import Settings
from worker.wiring import open_service

KEYS_ON_NODES = {"swarm": {"manager": 1, "worker": 1}, "kubernetes": {"manager": 17, "worker": 4}}
"""How many private keys a node has at least, so that a search which finds none is noticed."""


@dataclass
class Lived:
    """Clusters that were created, grown and shrunk, what was seen of processes meanwhile, and all real secrets."""

    clusters: dict[str, Json]
    containers: dict[str, str]
    samples: bytes
    key: bytes  # one of the secrets
    needles: list[Needle]


@pytest.fixture(scope="module")
async def lived(everywhere: Installation) -> AsyncIterator[Lived]:
    async def live(kind: str) -> Json:
        cluster = await everywhere.active(f"secretive-{kind}", 2, kind=kind)
        await everywhere.succeeded(everywhere.resize(cluster["id"], 3))
        await everywhere.succeeded(everywhere.resize(cluster["id"], 2))
        return cluster

    everywhere.add_release()
    with ProcessSampler(everywhere) as sampler:
        made = await asyncio.gather(*(live(kind) for kind in KINDS))
        persons = [credentials(everywhere, cluster["id"]) for cluster in made]
        samples = await asyncio.to_thread(sampler.stop)
    clusters = dict(zip(KINDS, made, strict=True))
    secrets = {
        "the vault's key": (everywhere.home / "vault.key").read_bytes().strip(),
        "the administrator's token": everywhere.token.encode(),
        **_join_tokens(everywhere, clusters["swarm"]),
    }
    for (kind, cluster), person in zip(clusters.items(), persons, strict=True):
        secrets |= {f"the {kind} cluster's {name}": value for name, value in _kept(everywhere, cluster).items()}
        secrets |= _keys_in(person, "a person's", 1 if kind == "swarm" else 2)
        for node in everywhere.nodes(cluster["id"]):
            secrets |= _keys_in(_settings(everywhere, node), node["name"], KEYS_ON_NODES[kind][node["role"]])
    needles = {needle.value: needle for name, value in secrets.items() for needle in needles_of(name, value)}
    containers = {kind: everywhere.nodes(cluster["id"])[0]["container"] for kind, cluster in clusters.items()}
    key = secrets[f"the kubernetes cluster's {AUTHORITY}'s key"]
    yield Lived(clusters, containers, samples, key, list(needles.values()))
    await asyncio.gather(*(everywhere.deleted(cluster["id"]) for cluster in made))


def _kept(carina: Installation, cluster: Json) -> dict[str, bytes]:
    """What Carina keeps of a cluster, sealed."""
    service = open_service(Settings(home=carina.home, prefix=carina.prefix))
    kept = ClusterSecrets(service.records, service.vault)
    secrets = {f"{name}'s key": kept.pair(cluster["id"], name).key_pem for name in (AUTHORITY, CLIENT)}
    if cluster["cluster_type"]["coe"] == "kubernetes":
        more = {name: value for name, value in kept.files(cluster["id"], KEYS).items() if name.endswith(".key")}
        assert len(more) == 4, "of etcd, of the front proxy, of service accounts, and what encrypts secrets"
        secrets |= more
    service.engine.dispose()
    return secrets


def _join_tokens(carina: Installation, cluster: Json) -> dict[str, bytes]:
    with swarm_of(carina, cluster) as swarm:
        tokens = swarm.manager.api.inspect_swarm()["JoinTokens"]
    return {f"the {role}'s join token": token.encode() for role, token in tokens.items()}


def _settings(carina: Installation, node: Json) -> Path:
    """Where Carina put a node's settings and keys."""
    etc = place_of(carina, node["container"]).seen / node["container"] / "rootfs/etc"
    return etc / "kubernetes" if (etc / "kubernetes").exists() else etc / "docker"


def _keys_in(directory: Path, owner: str, at_least: int) -> dict[str, bytes]:
    """All private keys in files below a directory."""
    found: dict[str, bytes] = {}
    for path in (path for path in directory.rglob("*") if path.is_file()):
        keys = private_keys(path.read_bytes())
        found |= {f"{owner} key #{number} in {path.name}": key for number, key in enumerate(keys)}
    assert len(found) >= at_least, f"{directory} has {sorted(found)}"
    return found


def _assert_clean(lived: Lived, where: str, haystack: bytes, *, known: bytes) -> None:
    """No secret is in the haystack; what is `known` to be in it is, so that the search finds things there."""
    assert known in haystack, f"{where}: the search is blind"
    found = sorted({needle.name for needle in lived.needles if needle.value in haystack})
    assert not found, f"{where} holds {', '.join(found)}"


async def test_no_history_holds_a_secret(everywhere: Installation, lived: Lived) -> None:
    client = await temporal(everywhere)
    seen = dict.fromkeys(lived.clusters, 0)
    async for workflow in client.list_workflows():
        history = await client.get_workflow_handle(workflow.id, run_id=workflow.run_id).fetch_history()
        events = b"".join(event.SerializeToString() for event in history.events)
        described = (await client.get_workflow_handle(workflow.id, run_id=workflow.run_id).describe()).raw_description
        haystack = events + history.to_json().encode() + described.SerializeToString()
        _assert_clean(lived, f"the history of {workflow.id}", haystack, known=workflow.workflow_type.encode())
        for kind, cluster in lived.clusters.items():
            seen[kind] += cluster["id"] in workflow.id
    assert min(seen.values()) >= 4, "create, overlay, grow and shrink"


async def test_no_file_of_the_home_holds_a_secret_in_the_clear(everywhere: Installation, lived: Lived) -> None:
    """Databases with their write-ahead logs, Carina's and Temporal's, and all logs, byte by byte.

    Left out are the host's pool, which has the nodes, and releases, which are others' binaries of a known digest.
    """
    left_out = {"host", "releases"}
    files = {path.name: path for path in everywhere.home.rglob("*") if path.is_file() and not left_out & {*path.parts}}
    assert {"carina.db", "temporal.db", "carinad.log", "temporal.log", "vault.key", "admin-token"} <= files.keys()
    for opener in ("vault.key", "admin-token"):
        files.pop(opener)
    contents = {name: path.read_bytes() for name, path in files.items()}
    for name in ("carina.db", "temporal.db"):
        contents[name] += contents.pop(f"{name}-wal", b"")
    for name, content in contents.items():
        ids = [cluster["id"].encode() for cluster in lived.clusters.values()]
        for known in ids if name in {"carina.db", "temporal.db", "carinad.log"} else [b""]:
            assert known in content, f"{name}: the search is blind"
        _assert_clean(lived, name, content, known=b"")


async def test_no_column_holds_a_secret_in_the_clear(everywhere: Installation, lived: Lived) -> None:
    tables = [name for (name,) in rows(everywhere, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert {"clusters", "nodes", "operations", "secrets", "steps"} <= set(tables)
    values = [value for table in tables for row in rows(everywhere, f'SELECT * FROM "{table}"') for value in row]  # noqa: S608 - the table's own name
    dump = b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in values)
    for container in lived.containers.values():
        assert container.encode() in dump, "the search is blind"
    _assert_clean(lived, "the database", dump, known=b"")
    for kind, names in {"swarm": {AUTHORITY, CLIENT}, "kubernetes": {AUTHORITY, CLIENT, KEYS}}.items():
        sealed = rows(everywhere, "SELECT name, sealed FROM secrets WHERE cluster_id = ?", lived.clusters[kind]["id"])
        assert {name for name, _ in sealed} == names, "people's credentials are not kept"
        assert not any(b"PRIVATE KEY" in value for _, value in sealed)


async def test_no_command_line_or_environment_holds_a_secret(lived: Lived) -> None:
    for seen in (*lived.containers.values(), "CARINA_HOME", "kube-apiserver", "dockerd"):
        assert seen.encode() in lived.samples, "the search is blind"
    _assert_clean(lived, "a process", lived.samples, known=b"")


@pytest.mark.parametrize("kind", KINDS)
async def test_the_log_of_a_node_holds_no_secret(everywhere: Installation, lived: Lived, kind: str) -> None:
    directory = place_of(everywhere, lived.containers[kind]).seen / lived.containers[kind]
    logs = [path for pattern in ("journal/**/*", "pods/**/*") for path in directory.glob(f"rootfs/var/log/{pattern}")]
    journal = b"".join(path.read_bytes() for path in logs if path.is_file())
    text = (directory / "config").read_bytes() + (directory / "stamp.json").read_bytes() + journal
    _assert_clean(lived, "the node", text, known=lived.containers[kind].encode())


@pytest.mark.parametrize("kind", KINDS)
async def test_what_others_may_read_in_a_node_is_no_secret(everywhere: Installation, lived: Lived, kind: str) -> None:
    for node in everywhere.nodes(lived.clusters[kind]["id"]):
        files = [path for path in _settings(everywhere, node).rglob("*") if path.is_file()]
        readable = [path for path in files if path.stat().st_mode & 0o077]
        assert 0 < len(readable) < len(files)
        for path in readable:
            _assert_clean(lived, f"{path.name} of {node['name']}", path.read_bytes(), known=b"")


async def test_no_file_of_a_host_holds_a_secret_beside_those_of_its_nodes(
    everywhere: Installation, lived: Lived
) -> None:
    """Of a host of a rack, which is a machine by itself, also what scripts and logs may have left anywhere."""
    folders = [place.seen.parents[1] for place in places(everywhere)]
    folders += [host.disk / path for host in everywhere.rack or () for path in ("tmp", "var/tmp", "var/log", "root")]
    files: list[Path] = []
    for folder in folders:
        for directory, inner, names in os.walk(folder):
            inner[:] = [name for name in inner if name != "pool"]
            files += [Path(directory, name) for name in names if name != "pool.img"]
    contents = {path: path.read_bytes() for path in files if path.is_file() and not path.is_symlink()}
    assert len([path for path in contents if path.name == "boot.sh"]) == len(places(everywhere))
    for path, content in contents.items():
        _assert_clean(lived, str(path), content, known=b"")


async def test_what_opens_the_instance_is_for_root_alone(everywhere: Installation) -> None:
    for name in ("admin-token", "vault.key"):
        assert (everywhere.home / name).stat().st_mode & 0o777 == 0o600
    assert (everywhere.home / "log").stat().st_mode & 0o777 == 0o700
    assert (everywhere.home / "carina.db").stat().st_uid == 0


async def test_the_search_finds_a_planted_secret(lived: Lived) -> None:
    """Were a key in a payload, as JSON that is in base64 in an event, it would be found."""
    for shift in range(3):
        payload = base64.b64encode(json.dumps({"x" * (shift + 1): lived.key.decode()}).encode())
        assert any(needle.value in payload for needle in lived.needles)
