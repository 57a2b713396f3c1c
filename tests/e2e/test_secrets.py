"""No private key, join token or credential in a history, a log line, an argv, an environment or a clear column.

A cluster is created while the command lines and environments of all processes of the instance are sampled; then all
that is written down is searched for the real values, in the forms that they could have been written in.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from installation import Installation, Json
from needles import Needle, needles_of
from records import rows
from sampling import ProcessSampler
from swarm import swarm_of
from sweeping import temporal

from activities.secrets import AUTHORITY, CLIENT, CREDENTIALS, ClusterSecrets
from domain.archives import decode
from worker.settings import Settings
from worker.wiring import open_service


@dataclass
class Lived:
    """A cluster that was created, grown and shrunk, what was seen of processes meanwhile, and its real secrets."""

    cluster: Json
    container: str
    samples: bytes
    needles: list[Needle]


@pytest.fixture(scope="module")
async def lived(carina: Installation) -> AsyncIterator[Lived]:
    with ProcessSampler(carina) as sampler:
        cluster = await carina.active("secretive", 2)
        await carina.succeeded(carina.resize(cluster["id"], 3))
        await carina.succeeded(carina.resize(cluster["id"], 2))
        samples = await asyncio.to_thread(sampler.stop)
    nodes = carina.nodes(cluster["id"])
    yield Lived(cluster, nodes[0]["container"], samples, _secrets(carina, cluster))
    await carina.deleted(cluster["id"])


def _secrets(carina: Installation, cluster: Json) -> list[Needle]:
    """The real values: keys of the cluster, of its people and of its nodes, join tokens, what opens the instance."""
    service = open_service(Settings(home=carina.home, prefix=carina.prefix))
    kept = ClusterSecrets(service.records, service.vault)
    sealed = service.records.secret(cluster["id"], CREDENTIALS)
    assert sealed is not None
    archive = decode(service.vault.open(sealed, context=f"{cluster['id']}/{CREDENTIALS}"))
    service.engine.dispose()
    secrets = {
        "the authority's key": kept.pair(cluster["id"], AUTHORITY).key_pem,
        "the control plane's key": kept.pair(cluster["id"], CLIENT).key_pem,
        "a person's key": archive["key.pem"],
        "the vault's key": (carina.home / "vault.key").read_bytes().strip(),
        "the administrator's token": carina.token.encode(),
    }
    for node in carina.nodes(cluster["id"]):
        key = carina.nodes_dir / node["container"] / "rootfs/etc/docker/tls/key.pem"
        assert key.stat().st_mode & 0o777 == 0o600
        secrets[f"{node['name']}'s key"] = key.read_bytes()
    with swarm_of(carina, cluster) as swarm:
        for role, token in swarm.manager.api.inspect_swarm()["JoinTokens"].items():
            secrets[f"the {role}'s join token"] = token.encode()
    return [needle for name, value in secrets.items() for needle in needles_of(name, value)]


def _assert_clean(lived: Lived, where: str, haystack: bytes, *, known: bytes) -> None:
    """No secret is in the haystack; what is `known` to be in it is, so that the search finds things there."""
    assert known in haystack, f"{where}: the search is blind"
    found = sorted({needle.name for needle in lived.needles if needle.value in haystack})
    assert not found, f"{where} holds {', '.join(found)}"


async def test_no_history_holds_a_secret(carina: Installation, lived: Lived) -> None:
    client = await temporal(carina)
    seen = 0
    async for workflow in client.list_workflows():
        history = await client.get_workflow_handle(workflow.id, run_id=workflow.run_id).fetch_history()
        events = b"".join(event.SerializeToString() for event in history.events)
        described = (await client.get_workflow_handle(workflow.id, run_id=workflow.run_id).describe()).raw_description
        haystack = events + history.to_json().encode() + described.SerializeToString()
        _assert_clean(lived, f"the history of {workflow.id}", haystack, known=workflow.workflow_type.encode())
        seen += lived.cluster["id"] in workflow.id
    assert seen >= 4, "create, overlay, grow and shrink"


async def test_no_file_of_the_home_holds_a_secret_in_the_clear(carina: Installation, lived: Lived) -> None:
    """Databases with their write-ahead logs, Carina's and Temporal's, and all logs, byte by byte."""
    files = {path.name: path for path in carina.home.rglob("*") if path.is_file() and "host" not in path.parts}
    assert {"carina.db", "temporal.db", "carinad.log", "temporal.log", "vault.key", "admin-token"} <= files.keys()
    for opener in ("vault.key", "admin-token"):
        files.pop(opener)
    contents = {name: path.read_bytes() for name, path in files.items()}
    for name in ("carina.db", "temporal.db"):
        contents[name] += contents.pop(f"{name}-wal", b"")
    for name, content in contents.items():
        known = lived.cluster["id"].encode() if name in {"carina.db", "temporal.db", "carinad.log"} else b""
        _assert_clean(lived, name, content, known=known)


async def test_no_column_holds_a_secret_in_the_clear(carina: Installation, lived: Lived) -> None:
    tables = [name for (name,) in rows(carina, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert {"clusters", "nodes", "operations", "secrets", "steps"} <= set(tables)
    values = [value for table in tables for row in rows(carina, f'SELECT * FROM "{table}"') for value in row]  # noqa: S608 - the table's own name
    dump = b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in values)
    _assert_clean(lived, "the database", dump, known=lived.container.encode())
    sealed = rows(carina, "SELECT name, sealed FROM secrets WHERE cluster_id = ?", lived.cluster["id"])
    assert {name for name, _ in sealed} == {AUTHORITY, CLIENT, CREDENTIALS}
    assert not any(b"PRIVATE KEY" in value for _, value in sealed)


async def test_no_command_line_or_environment_holds_a_secret(lived: Lived) -> None:
    _assert_clean(lived, "a process", lived.samples, known=lived.container.encode())
    assert b"CARINA_HOME" in lived.samples, "environments were seen"


async def test_the_log_of_a_node_holds_no_secret(carina: Installation, lived: Lived) -> None:
    directory = carina.nodes_dir / lived.container
    journal = b"".join(path.read_bytes() for path in directory.glob("rootfs/var/log/journal/**/*") if path.is_file())
    text = (directory / "config").read_bytes() + (directory / "stamp.json").read_bytes() + journal
    _assert_clean(lived, "the node", text, known=lived.container.encode())


async def test_what_opens_the_instance_is_for_root_alone(carina: Installation) -> None:
    for name in ("admin-token", "vault.key"):
        assert (carina.home / name).stat().st_mode & 0o777 == 0o600
    assert (carina.home / "log").stat().st_mode & 0o777 == 0o700
    assert (carina.home / "carina.db").stat().st_uid == 0


async def test_the_search_finds_a_planted_secret(lived: Lived) -> None:
    """Were a key in a payload, as JSON that is in base64 in an event, it would be found."""
    import base64  # noqa: PLC0415
    import json  # noqa: PLC0415

    name = "the authority's key"
    pem = next(needle.value for needle in lived.needles if needle.name == name and needle.form == "whole")
    for shift in range(3):
        payload = base64.b64encode(json.dumps({"x" * (shift + 1): pem.decode()}).encode())
        assert any(needle.value in payload for needle in lived.needles if needle.name == name)
