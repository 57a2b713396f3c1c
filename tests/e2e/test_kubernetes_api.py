"""The Kubernetes API of a cluster: who it lets in, what it keeps to itself, and how kubectl gets there."""

import asyncio
import base64
import os
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import kube
import pytest
from credentials import credentials
from cryptography import x509
from installation import BIN, KUBERNETES_VERSION, Installation, Json
from kube import NODES, PORT, Kube, context_of, kube_of, kubectl_of
from people import answer
from swarm import PAGE

KUBELET = 10250
BRIEF_S = 60


@dataclass(frozen=True)
class Own:
    """A cluster of two nodes, and credentials for it that do not last."""

    cluster: Json
    brief: Path


@pytest.fixture(scope="module")
async def both(carina: Installation) -> AsyncIterator[tuple[Json, Json]]:
    """A cluster of two nodes, and another one of one node, for which its people want to bring their own network."""
    clusters = await asyncio.gather(
        carina.active("own", 2, kind="kubernetes"),
        carina.active("other", 1, kind="kubernetes", network="none", pod_subnet="10.200.0.0/16"),
    )
    yield clusters
    await asyncio.gather(*(carina.deleted(cluster["id"]) for cluster in clusters))


@pytest.fixture(scope="module")
def own(carina: Installation, both: tuple[Json, Json]) -> Own:
    return Own(both[0], credentials(carina, both[0]["id"], lifetime_s=BRIEF_S))


@pytest.fixture(scope="module")
def other(both: tuple[Json, Json]) -> Json:
    return both[1]


def ask(address: str, path: str, context: ssl.SSLContext, *, port: int = PORT) -> int:
    """The status of the answer to one request; a refusal in TLS raises httpx.TransportError."""
    return httpx.get(f"https://{address}:{port}{path}", verify=context, timeout=10, trust_env=False).status_code


def page(address: str, port: int) -> str:
    return httpx.get(f"http://{address}:{port}/", timeout=10, trust_env=False).text.strip()


async def test_the_api_and_kubelets_let_in_no_stranger(carina: Installation, own: Own, other: Json) -> None:
    mine, strange = own.brief, credentials(carina, other["id"])
    nodes = carina.nodes(own.cluster["id"])
    first = nodes[0]["address"]
    anonymous = ssl.create_default_context(cafile=str(mine / "ca.pem"))
    stranger = context_of(strange, authority=mine)
    assert ask(first, "/api/v1/nodes", context_of(mine)) == 200
    assert ask(first, "/api/v1/nodes", anonymous) == 401
    assert ask(first, "/version", anonymous) == 401
    assert ask(first, "/api/v1/nodes", stranger) == 401
    for node in nodes:
        assert ask(node["address"], "/pods", anonymous, port=KUBELET) == 401
        assert _is_refused(node["address"], stranger)


def _is_refused(address: str, context: ssl.SSLContext) -> bool:
    """Whether a kubelet refuses the client: in TLS, or as nobody it knows."""
    try:
        return ask(address, "/pods", context, port=KUBELET) == 401
    except httpx.TransportError:
        return True


async def test_the_api_shows_a_certificate_of_its_own_cluster(carina: Installation, own: Own, other: Json) -> None:
    strange = credentials(carina, other["id"])
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(carina.nodes(own.cluster["id"])[0]["address"], "/version", context_of(own.brief, authority=strange))


async def test_a_nodes_other_parts_listen_inside_it_only(carina: Installation, own: Own) -> None:
    """etcd, the controller manager, the scheduler and what kubelets and kube-proxies tell of themselves."""
    for node in carina.nodes(own.cluster["id"]):
        for port in (2379, 2380, 2381, 10248, 10249, 10255, 10257, 10259, 8080, 22):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((node["address"], port), timeout=2)


async def test_a_worker_can_neither_read_others_secrets_nor_act_for_the_cluster(carina: Installation, own: Own) -> None:
    manager, worker = (carina.nodes_dir / n["container"] / "rootfs" for n in carina.nodes(own.cluster["id"]))
    with kube_of(carina, own.cluster) as people:
        secret = {"metadata": {"name": "apart"}, "stringData": {"word": "not for workers"}}
        people.call("POST", "/api/v1/namespaces/default/secrets", json=secret)
        words = ("--kubeconfig", str(worker / "etc/kubernetes/kubelet.conf"), "auth", "can-i")
        for action in (
            ("get", "secret/apart"),
            ("list", "secrets"),
            ("delete", "node/own-1"),
            ("create", "clusterroles"),
        ):
            said = carina.run(kubectl_of(carina), *words, *action, check=False).stdout
            assert said.startswith("no"), action
        reading = ("--kubeconfig", words[1], "get", "secret", "apart")
        refused = carina.run(kubectl_of(carina), *reading, check=False)
        assert "no relationship found between node 'own-2' and this object" in refused.stderr
    authority = (manager / "etc/kubernetes/pki/ca.key").read_bytes()
    held = [path for path in (worker / "etc").rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [path for path in held if authority in path.read_bytes()]


async def test_secrets_rest_encrypted_and_other_objects_in_the_clear(carina: Installation, own: Own) -> None:
    """Other objects show that the search would find a secret that was not."""
    plain, hidden = os.urandom(12).hex(), os.urandom(12).hex()
    with kube_of(carina, own.cluster) as people:
        path = "/api/v1/namespaces/default"
        people.call("POST", f"{path}/configmaps", json={"metadata": {"name": "plain"}, "data": {"word": plain}})
        people.call("POST", f"{path}/secrets", json={"metadata": {"name": "hidden"}, "stringData": {"word": hidden}})
    manager = carina.nodes(own.cluster["id"])[0]["container"]
    data = carina.nodes_dir / manager / "rootfs/var/lib/etcd"
    stored = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    assert plain.encode() in stored
    assert hidden.encode() not in stored
    assert base64.b64encode(hidden.encode()) not in stored


async def test_the_printed_environment_serves_kubectl(carina: Installation, own: Own) -> None:
    script = f'eval "$({BIN / "carina"} env own)" && exec {kubectl_of(carina)} get nodes --no-headers'
    done = await asyncio.to_thread(carina.run, "bash", "-euc", script)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [(name, state) for name, state, *_ in lines] == [("own-1", "Ready"), ("own-2", "Ready")]
    assert {version for *_, version in lines} == {f"v{KUBERNETES_VERSION}"}


async def test_a_kubeconfig_is_merged_and_its_owners_alone(carina: Installation, own: Own) -> None:
    config = carina.user_home / ".kube" / "config"
    config.parent.mkdir(exist_ok=True)
    config.write_text("apiVersion: v1\nkind: Config\nusers: [{name: mine, user: {token: kept}}]\n")
    config.chmod(0o600)
    carina.carina("kubeconfig", "own")
    assert config.stat().st_mode & 0o777 == 0o600
    assert "kept" in config.read_text()
    said = carina.run(kubectl_of(carina), "auth", "whoami", "--output=jsonpath={.status.userInfo.groups}")
    assert "carina:admins" in said.stdout
    assert "system:masters" not in said.stdout
    assert "yes" in carina.run(kubectl_of(carina), "auth", "can-i", "*", "*").stdout


async def test_credentials_are_made_for_each_caller_and_say_when_they_end(carina: Installation, own: Own) -> None:
    usual = [credentials(carina, own.cluster["id"]) for _ in range(2)]
    keys = {(files / "key.pem").read_bytes() for files in (*usual, own.brief)}
    assert len(keys) == 3
    for files, lifetime in ((usual[0], timedelta(days=1)), (own.brief, timedelta(seconds=BRIEF_S))):
        certificate = x509.load_pem_x509_certificate((files / "cert.pem").read_bytes())
        left = certificate.not_valid_after_utc - datetime.now(UTC)
        assert lifetime - timedelta(minutes=5) < left <= lifetime
        groups = certificate.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
        assert [group.value for group in groups] == ["carina:admins"]
    for wrong in (59, 30 * 24 * 3600 + 1, "soon"):
        response = carina.call("GET", f"/clusters/{own.cluster['id']}/credentials/zip?lifetime_s={wrong}")
        assert (response.status_code, response.json()["errors"][0]["code"]) == (400, "invalid-input")


async def test_the_pod_network_carries_answers_between_nodes(carina: Installation, own: Own) -> None:
    with kube_of(carina, own.cluster) as people:
        first, second = people.addresses
        assert await answer(people, first, second) == PAGE
        assert await answer(people, second, first) == PAGE


async def test_a_port_of_the_nodes_leads_to_a_service_on_any_of_them(carina: Installation, own: Own) -> None:
    with kube_of(carina, own.cluster) as people:
        first, second = people.addresses
        people.run("shop", second)
        spec = {"type": "NodePort", "selector": {"app": "shop"}, "ports": [{"port": 8080}]}
        service = people.call("POST", kube.SERVICES, json={"metadata": {"name": "doors"}, "spec": spec}).json()
        port = service["spec"]["ports"][0]["nodePort"]
        assert await people.fetch(first, "doors") == PAGE
        for address in (first, second):
            assert page(address, port) == PAGE
        people.call("DELETE", f"{kube.SERVICES}/doors")
        people.remove("shop", second)


async def test_a_cluster_without_a_network_works_and_waits_for_its_peoples_own(
    carina: Installation, other: Json
) -> None:
    assert (other["status"], other["options"]["network"], other["capabilities"]) == ("active", "none", [])
    assert carina.get(f"/clusters/{other['id']}/overlays")["overlays"] == []
    with kube_of(carina, other) as people:
        assert people.members() == [("other-1", "not ready")]
        [node] = people.items(NODES)
        assert "cni plugin not initialized" in next(
            entry["message"] for entry in node["status"]["conditions"] if entry["type"] == "Ready"
        )
        assert node["spec"]["podCIDR"] == "10.200.0.0/24"
    await carina.succeeded(carina.resize(other["id"], 2))
    with kube_of(carina, other) as people:
        assert people.members() == [("other-1", "not ready"), ("other-2", "not ready")]


async def test_a_namespace_that_nothing_would_close_is_refused_and_not_made(carina: Installation, own: Own) -> None:
    path = f"/clusters/{own.cluster['id']}/overlays"
    works = {found["name"]: found["works"] for found in own.cluster["capabilities"]}
    assert works["network-policy"] is False
    response = carina.call("POST", path, json={"name": "closed", "services": ["web:80"]})
    if response.status_code == 202:
        operation = await carina.ended(response.headers["Location"].rpartition("/")[2])
        error = operation["error"]
    else:
        assert response.status_code == 409
        error = response.json()["errors"][0]
    assert error["code"] == "policy-not-enforced"
    assert error["remedy"]
    with kube_of(carina, own.cluster) as people:
        assert "closed" not in {item["metadata"]["name"] for item in people.items(kube.NAMESPACES)}


async def test_pods_with_no_other_home_are_told_of_when_their_node_goes(carina: Installation, own: Own) -> None:
    with kube_of(carina, own.cluster) as people:
        people.serve("moves", 2)
        people.run("stays", people.addresses[1])
        shrink = await carina.succeeded(carina.resize(own.cluster["id"], 1))
        [drain] = [step for step in shrink["steps"] if step["name"] == "drain_node" and step["state"] == "succeeded"]
        assert "default/stays has no controller" in drain["note"]
        assert "moves" not in drain["note"]
        assert await people.fetch(people.addresses[0], "moves") == PAGE
        _remove(people, "moves")


def _remove(people: Kube, deployment: str) -> None:
    people.call("DELETE", f"{kube.DEPLOYMENTS}/{deployment}")
    people.call("DELETE", f"{kube.SERVICES}/{deployment}")


async def test_credentials_end_when_they_said(carina: Installation, own: Own) -> None:
    """Last, as most of their life has passed meanwhile."""
    certificate = x509.load_pem_x509_certificate((own.brief / "cert.pem").read_bytes())
    left_s = (certificate.not_valid_after_utc - datetime.now(UTC)).total_seconds()
    await asyncio.sleep(max(left_s + 1, 0))
    first = carina.nodes(own.cluster["id"])[0]["address"]
    assert ask(first, "/version", context_of(own.brief)) == 401
    assert ask(first, "/version", context_of(credentials(carina, own.cluster["id"]))) == 200
