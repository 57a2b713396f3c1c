import asyncio
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from conftest import RealHost
from forwarder import connections, published
from kubernetes_nodes import KubernetesNodes, kubernetes_nodes
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from domain.clusters import ClusterType
from domain.errors import KubernetesFailed, OverlayUnreachable, PolicyNotEnforced
from domain.nodes import Member
from domain.options import NETWORK_NONE
from domain.overlays import Overlay
from domain.secrets import Access, KeyPair
from drivers.kubernetes_client import API_PORT, Api, Object, Refused
from drivers.kubernetes_probe import IMAGE, LABEL
from drivers.pki import CertificatePki
from drivers.releases import Releases
from drivers.tls import tls_context

NETWORK = Overlay("carina", "10.244.0.0/16", 1500)
KUBELET_PORT = 10250
ETCD_PORT = 2379
NODES = "/api/v1/nodes"
PODS = "/api/v1/namespaces/default/pods"
NAMESPACES = "/api/v1/namespaces"
SERVICES = "/api/v1/namespaces/default/services"


@pytest_asyncio.fixture(scope="module")
async def cluster(
    real_host: RealHost, kubernetes: ClusterType, kubernetes_image: str
) -> AsyncIterator[KubernetesNodes]:
    """A cluster of three nodes that all have joined."""
    async with kubernetes_nodes(real_host, kubernetes, kubernetes_image, name="Kube", count=3, slot=0) as nodes:
        await nodes.form()
        yield nodes


@pytest.fixture
def api(cluster: KubernetesNodes) -> Iterator[Api]:
    with Api(cluster.members[0], cluster.access) as connections:
        yield connections


def until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not so within {timeout_s} s"
        time.sleep(0.02)


def ask(address: str, port: int, path: str, context: ssl.SSLContext) -> int:
    """Ask for a page, and return the status of the answer."""
    with HTTPSConnectionPool(address, port, ssl_context=context, timeout=5, retries=False) as pool:
        return pool.request("GET", path).status


def anonymous(access: Access) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=access.ca_pem.decode())


def pod(name: str, *command: str, **spec: Any) -> Object:
    container = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["/bin/sh", "-c", *(command or ("exec sleep 600",))],
    }
    if "mounts" in spec:
        container["volumeMounts"] = spec.pop("mounts")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec},
    }


def deployment(name: str, replicas: int, **spec: Any) -> Object:
    template = pod(name, "mkdir /tmp/w; echo $HOSTNAME > /tmp/w/name; exec httpd -f -p 8080 -h /tmp/w", **spec)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": template["metadata"], "spec": template["spec"]},
        },
    }


def ready_pods(api: Api, app: str) -> list[Object]:
    found = api.items(PODS, labelSelector=f"app={app}")
    return [
        item
        for item in found
        if any(c["type"] == "Ready" and c["status"] == "True" for c in item["status"].get("conditions", ()))
        and "deletionTimestamp" not in item["metadata"]
    ]


@contextmanager
def there(api: Api, listing: str, body: Object) -> Iterator[Object]:
    """Make an object, and remove it, with what it made, at the end."""
    made = api.create(listing, body)
    try:
        yield made
    finally:
        api.delete(f"{listing}/{made['metadata']['name']}", propagationPolicy="Foreground", gracePeriodSeconds="0")


def pod_traffic_dropped(*match: str) -> str:
    rule = " ".join(match)
    return f"table ip broken {{ chain broken {{ type filter hook prerouting priority -350; {rule} drop; }}; }}"


@contextmanager
def broken_node(cluster: KubernetesNodes, member: Member, *match: str) -> Iterator[None]:
    """Drop what matches of what comes to a node."""
    cluster.run(member, "nft", pod_traffic_dropped(*match))
    try:
        yield
    finally:
        cluster.run(member, "nft", "delete table ip broken")


async def test_forming_and_joining_twice_is_the_same_as_once(cluster: KubernetesNodes, api: Api) -> None:
    manager = cluster.members[0]
    before = {item["metadata"]["name"]: item["metadata"]["uid"] for item in api.items(NODES)}
    await cluster.form()
    assert {item["metadata"]["name"]: item["metadata"]["uid"] for item in api.items(NODES)} == before
    assert sorted(before) == ["kube-1", "kube-2", "kube-3"]
    health = await cluster.orchestrator.health(manager, cluster.access)
    assert health == {member.name: True for member in cluster.members}
    roles = {item["metadata"]["name"]: role_labels(item) for item in api.items(NODES)}
    assert roles == {"kube-1": ["control-plane"], "kube-2": ["worker"], "kube-3": ["worker"]}


def role_labels(node: Object) -> list[str]:
    prefix = "node-role.kubernetes.io/"
    return [label.removeprefix(prefix) for label in node["metadata"]["labels"] if label.startswith(prefix)]


async def test_a_sound_network_is_proved_and_nothing_is_left_of_that(cluster: KubernetesNodes, api: Api) -> None:
    leftover = {"metadata": {"name": "carina-probe-000000", "labels": {LABEL: ""}}}
    api.ensure(NAMESPACES, leftover)  # as a check leaves that is killed
    await cluster.orchestrator.ensure_overlay(cluster.members, NETWORK, cluster.access)
    found = await cluster.orchestrator.verify(cluster.members, NETWORK, cluster.access)
    assert {item.name: item.works for item in found} == {
        "pod-network": True,
        "cluster-ip": True,
        "dns": True,
        "network-policy": False,
    }
    assert found[0].detail == "9 of 9 directed pairs of pods over 3 nodes"
    await cluster.orchestrator.verify(cluster.members[:1], NETWORK, cluster.access)
    until(lambda: not api.items(NAMESPACES, labelSelector=LABEL))


async def test_all_is_asked_at_the_port_that_the_first_nodes_host_publishes(cluster: KubernetesNodes) -> None:
    with published(cluster.members[:1], API_PORT) as [manager], connections() as seen:
        members = [manager, *cluster.members[1:]]
        await cluster.orchestrator.form(manager, cluster.access)
        await cluster.orchestrator.join(manager, members[1], cluster.access)
        await cluster.orchestrator.ensure_overlay(members, NETWORK, cluster.access)
        await cluster.orchestrator.verify(members, NETWORK, cluster.access)
        assert all((await cluster.orchestrator.health(manager, cluster.access)).values())
    assert {host for host, _ in seen} == {"127.0.0.1"}


async def test_a_node_whose_pods_are_not_reached_is_named(cluster: KubernetesNodes) -> None:
    manager, worker, broken = cluster.members
    with (
        broken_node(cluster, broken, "ip saddr 10.244.0.0/16 ip daddr 10.244.0.0/16 iifname eth0"),
        pytest.raises(OverlayUnreachable) as caught,
    ):
        await cluster.orchestrator.verify(cluster.members, NETWORK, cluster.access)
    assert f"{manager.name} does not reach {broken.name} (it does not answer)" in caught.value.detail
    assert f"{broken.name} does not reach {worker.name}" in caught.value.detail
    assert f"{manager.name} does not reach {worker.name}" not in caught.value.detail


async def test_full_packets_that_get_lost_are_found(cluster: KubernetesNodes) -> None:
    manager, _, broken = cluster.members
    match = "ip saddr 10.244.0.0/16 ip daddr 10.244.0.0/16 iifname eth0 ip length > 1400"
    with broken_node(cluster, broken, match), pytest.raises(OverlayUnreachable, match="full packets"):
        await cluster.orchestrator.verify([manager, broken], NETWORK, cluster.access)


async def test_a_namespace_that_nothing_would_close_is_not_made(cluster: KubernetesNodes, api: Api) -> None:
    overlay = Overlay("closed", "", 1500, services=("web:80",))
    with pytest.raises(PolicyNotEnforced, match="nothing enforces policies") as caught:
        await cluster.orchestrator.ensure_overlay(cluster.members, overlay, cluster.access)
    assert "Calico" in caught.value.remedy
    assert api.find(f"{NAMESPACES}/closed") is None


async def test_a_namespace_that_is_open_is_found_out(cluster: KubernetesNodes, api: Api) -> None:
    overlay = Overlay("opened", "", 1500, services=("web:80",))
    labelled = {"metadata": {"name": "opened", "labels": {"io.carina.overlay": "opened"}}}
    with there(api, NAMESPACES, labelled):
        until(lambda: api.find(f"{NAMESPACES}/opened/serviceaccounts/default") is not None)
        with pytest.raises(PolicyNotEnforced, match="reached from outside"):
            await cluster.orchestrator.verify(cluster.members, overlay, cluster.access)
        assert standing(api.items(f"{NAMESPACES}/opened/pods")) == []
        await cluster.orchestrator.remove_overlay(cluster.members, "opened", cluster.access)
        assert api.find(f"{NAMESPACES}/opened") is None


async def test_a_namespace_is_made_and_proved_where_policies_are_enforced(cluster: KubernetesNodes, api: Api) -> None:
    overlay = Overlay("shop", "", 1500, services=("web:80",))
    policies = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies"
    with enforcer(cluster, api, "shop"):
        for _ in range(2):
            await cluster.orchestrator.ensure_overlay(cluster.members, overlay, cluster.access)
        names = {item["metadata"]["name"] for item in api.items(policies)}
        assert names == {"default-deny", "same-namespace", "dns", "expose-web"}
        assert api.get(f"{NAMESPACES}/shop/services/web")["spec"]["selector"] == {"app": "web"}
        found = await cluster.orchestrator.verify(cluster.members, overlay, cluster.access)
        assert [(item.name, item.works) for item in found] == [("network-policy", True)]
        assert standing(api.items(f"{NAMESPACES}/shop/pods")) == []
        found = await cluster.orchestrator.verify(cluster.members, NETWORK, cluster.access)
        assert {item.name: item.works for item in found}["network-policy"]
        for _ in range(2):
            await cluster.orchestrator.remove_overlay(cluster.members, "shop", cluster.access)
        assert api.find(f"{NAMESPACES}/shop") is None


@contextmanager
def enforcer(cluster: KubernetesNodes, api: Api, namespace: str) -> Iterator[None]:
    """Do by hand, in the nodes' firewalls, what an enforcer of policies does with those of the tests.

    It closes port 8081 of all pods, and all ports but 80 of those of one namespace to all others. Like a real one it
    hears of a pod only when its kubelet has told of it.
    """
    rules = (
        "table ip enforcer { set inside { type ipv4_addr; }; chain closed {"
        " type filter hook prerouting priority -350;"
        " ip saddr 10.244.0.0/16 tcp dport 8081 drop;"
        " ip saddr 10.244.0.0/16 ip saddr != @inside ip daddr @inside tcp dport != 80 drop; }; }"
    )
    ended = threading.Event()

    def follow() -> None:
        closed: set[str] = set()
        while not ended.wait(0.05):
            pods = api.items(f"{NAMESPACES}/{namespace}/pods")
            new = {item["status"]["podIP"] for item in pods if "podIP" in item["status"]} - closed
            for member in cluster.members if new else ():
                cluster.run(member, "nft", f"add element ip enforcer inside {{ {', '.join(new)} }}")
            closed |= new

    daemon = deployment("enforcer", 0, nodeSelector={"none": "such"}) | {"kind": "DaemonSet"}
    daemon["spec"].pop("replicas")
    with there(api, "/apis/apps/v1/namespaces/default/daemonsets", daemon), ThreadPoolExecutor(1) as pool:
        for member in cluster.members:
            cluster.run(member, "nft", rules)
        following = pool.submit(follow)
        try:
            yield
        finally:
            ended.set()
            for member in cluster.members:
                cluster.run(member, "nft", "delete table ip enforcer")
        following.result()


def standing(items: Sequence[Object]) -> list[Object]:
    return [item for item in items if "deletionTimestamp" not in item["metadata"]]


async def test_a_namespace_of_somebody_else_is_left_alone(cluster: KubernetesNodes, api: Api) -> None:
    await cluster.orchestrator.remove_overlay(cluster.members, "kube-public", cluster.access)
    assert api.find(f"{NAMESPACES}/kube-public") is not None


def test_anonymous_requests_are_refused(cluster: KubernetesNodes) -> None:
    manager, worker, _ = cluster.members
    for path in ("/api/v1/nodes", "/readyz", "/version"):
        assert ask(manager.address, API_PORT, path, anonymous(cluster.access)) == 401
    for member in (manager, worker):
        assert ask(member.address, KUBELET_PORT, "/pods", anonymous(cluster.access)) == 401
        assert ask(member.address, KUBELET_PORT, "/pods", tls_context(cluster.access)) == 200


def test_another_clusters_certificate_is_refused(cluster: KubernetesNodes) -> None:
    pki = CertificatePki()
    client = pki.client(pki.authority("Kube"), name="carina", groups=("system:masters",))
    stranger = tls_context(Access(cluster.access.ca_pem, client))
    manager, worker, _ = cluster.members
    assert refused(manager.address, API_PORT, "/api/v1/nodes", stranger)
    assert refused(worker.address, KUBELET_PORT, "/pods", stranger)


def refused(address: str, port: int, path: str, context: ssl.SSLContext) -> bool:
    try:
        return ask(address, port, path, context) == 401
    except HTTPError:
        return True


def test_a_workers_kubelet_is_kept_from_what_is_not_its_own(cluster: KubernetesNodes, api: Api) -> None:
    manager, worker, _ = cluster.members
    pki = "/etc/kubernetes/pki/kubelet-client"
    pair = KeyPair(*(cluster.run(worker, "cat", f"{pki}.{end}").encode() for end in ("crt", "key")))
    secret = {"metadata": {"name": "not-for-workers"}, "stringData": {"word": "hidden"}}
    secrets = f"{NAMESPACES}/default/secrets"
    label = {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}
    with there(api, secrets, secret), Api(manager, Access(cluster.access.ca_pem, pair)) as kubelet:
        with pytest.raises(Refused, match="no relationship found"):
            kubelet.get(f"{secrets}/not-for-workers")
        with pytest.raises(Refused, match="is not allowed to modify labels"):
            kubelet.patch(f"{NODES}/kube-2", label)
        with pytest.raises(Refused, match="is not allowed to modify node"):
            kubelet.patch(f"{NODES}/kube-3", label)


def test_no_worker_has_a_key_of_an_authority(cluster: KubernetesNodes) -> None:
    _, worker, _ = cluster.members
    keys = cluster.run(worker, "find", "/etc/kubernetes", "-name", "*.key", "-printf", "%f %m\\n").split("\n")
    assert sorted(filter(None, keys)) == ["kubelet-client.key 600", "kubelet.key 600"]


def test_etcd_listens_inside_the_node_alone_and_trusts_its_own_authority(cluster: KubernetesNodes) -> None:
    manager = cluster.members[0]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((manager.address, ETCD_PORT), timeout=5)
    shown = (
        "openssl s_client -connect 127.0.0.1:2379 -CAfile {ca} -cert {pair}.crt -key {pair}.key </dev/null 2>&1 | cat"
    )
    pki = "/etc/kubernetes/pki"
    own = cluster.run(manager, "bash", "-c", shown.format(ca=f"{pki}/etcd/ca.crt", pair=f"{pki}/apiserver-etcd-client"))
    assert "Verify return code: 0 (ok)" in own
    assert "alert" not in own
    other = cluster.run(manager, "bash", "-c", shown.format(ca=f"{pki}/ca.crt", pair=f"{pki}/apiserver-kubelet-client"))
    assert "Verify return code: 0 (ok)" not in other


def test_secrets_rest_encrypted(cluster: KubernetesNodes, api: Api) -> None:
    needle = "needle-in-the-open"
    with there(api, f"{NAMESPACES}/default/secrets", {"metadata": {"name": "rest"}, "stringData": {"word": needle}}):
        root = Path(manager_root(cluster))
        stored = b"".join(path.read_bytes() for path in (root / "var/lib/etcd/member").rglob("*") if path.is_file())
    assert b"/registry/secrets/default/rest" in stored
    assert b"k8s:enc:secretbox:v1:key1:" in stored
    assert needle.encode() not in stored


def manager_root(cluster: KubernetesNodes) -> str:
    plan = cluster.plans[0]
    return f"{plan.host.root}/pool/nodes/{plan.container}/rootfs"


def test_a_node_port_answers_on_every_node(cluster: KubernetesNodes, api: Api) -> None:
    service = {
        "metadata": {"name": "web"},
        "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    with (
        there(api, "/apis/apps/v1/namespaces/default/deployments", deployment("web", 2)),
        there(api, SERVICES, service) as made,
    ):
        port = made["spec"]["ports"][0]["nodePort"]
        until(lambda: len(ready_pods(api, "web")) == 2)
        for member in cluster.members:
            until(partial(answers, member.address, port))


def answers(address: str, port: int) -> bool:
    """Whether a pod of web answers at the address, from which a page with its name is had."""
    try:
        with HTTPConnectionPool(address, port, timeout=1, retries=False) as pool:
            return pool.request("GET", "/name").data.startswith(b"web-")
    except HTTPError:
        return False


def test_a_claim_gets_a_volume_that_outlives_its_pod(cluster: KubernetesNodes, api: Api) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    mounts = [{"name": "data", "mountPath": "/data"}]
    with there(api, f"{NAMESPACES}/default/persistentvolumeclaims", claim):
        with there(api, PODS, pod("writer", "echo kept > /data/word; exec sleep 600", volumes=volumes, mounts=mounts)):
            until(lambda: len(ready_pods(api, "writer")) == 1, 60)
        reader = pod("reader", "cat /data/word; exec sleep 600", volumes=volumes, mounts=mounts)
        with there(api, PODS, reader):
            until(lambda: len(ready_pods(api, "reader")) == 1, 60)
            until(lambda: logs(api, "reader") == "kept\n")
    until(lambda: not api.items("/api/v1/persistentvolumes"), 60)


def logs(api: Api, name: str) -> str:
    return api._pool.request("GET", f"{PODS}/{name}/log").data.decode()


def test_metrics_are_served(cluster: KubernetesNodes, api: Api) -> None:
    def measured() -> Mapping[str, str]:
        try:
            items = api.items("/apis/metrics.k8s.io/v1beta1/nodes")
        except Refused:
            return {}
        return {item["metadata"]["name"]: item["usage"]["memory"] for item in items}

    until(lambda: len(measured()) == 3, 60)


async def test_draining_reports_what_has_no_other_home(cluster: KubernetesNodes, api: Api) -> None:
    manager, _, leaver = cluster.members
    on_leaver = {"nodeName": "kube-3"}
    scratch = {"volumes": [{"name": "scratch", "emptyDir": {}}], "mounts": [{"name": "scratch", "mountPath": "/s"}]}
    with (
        there(api, PODS, pod("lonely", **on_leaver, **scratch)),
        there(api, "/apis/apps/v1/namespaces/default/deployments", deployment("moved", 3)),
    ):
        until(lambda: len(ready_pods(api, "moved")) == 3)
        notes = await cluster.orchestrator.drain(manager, leaver, cluster.access)
        assert any("default/lonely has no controller" in note for note in notes)
        assert any("default/lonely had files of its own in the volume scratch" in note for note in notes)
        assert not any("moved" in note for note in notes)
        assert api.items(PODS, fieldSelector="spec.nodeName=kube-3") == []
        until(lambda: len(ready_pods(api, "moved")) == 3)
        assert await cluster.orchestrator.drain(manager, leaver, cluster.access) == []
    for _ in range(2):
        await cluster.orchestrator.undrain(manager, leaver, cluster.access)
    assert "unschedulable" not in api.get(f"{NODES}/kube-3")["spec"]


async def test_draining_waits_for_a_disruption_budget(cluster: KubernetesNodes, api: Api) -> None:
    manager, _, leaver = cluster.members
    budget = {"metadata": {"name": "slow"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "slow"}}}}
    budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preferred("kube-3")]}}
    slow = deployment("slow", 1, affinity=affinity)
    with there(api, budgets, budget), there(api, "/apis/apps/v1/namespaces/default/deployments", slow):
        until(lambda: [item["spec"]["nodeName"] for item in ready_pods(api, "slow")] == ["kube-3"])
        until(lambda: api.get(f"{budgets}/slow")["status"].get("currentHealthy") == 1)
        draining = asyncio.create_task(cluster.orchestrator.drain(manager, leaver, cluster.access))
        await asyncio.to_thread(until, lambda: bool(api.get(f"{NODES}/kube-3")["spec"].get("unschedulable")))
        assert len(ready_pods(api, "slow")) == 1
        api.patch("/apis/apps/v1/namespaces/default/deployments/slow", {"spec": {"replicas": 2}})
        assert await draining == []  # once the second replica is up elsewhere, the budget lets the first go
        assert api.items(PODS, fieldSelector="spec.nodeName=kube-3") == []
    await cluster.orchestrator.undrain(manager, leaver, cluster.access)


def preferred(node: str) -> Object:
    match = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {"weight": 100, "preference": {"matchExpressions": [match]}}


async def test_a_dead_node_leaves_and_comes_back_made_anew(cluster: KubernetesNodes, api: Api) -> None:
    manager, _, dead = cluster.members
    with there(api, PODS, pod("lost", nodeName="kube-3")):
        until(lambda: len(ready_pods(api, "lost")) == 1)
        await asyncio.to_thread(cluster.stop, dead)
        await asyncio.to_thread(until, lambda: not healthy(api, "kube-3"), 60)  # it is shown within a minute
        for _ in range(2):
            await cluster.orchestrator.drain(manager, dead, cluster.access)
        for _ in range(2):
            await cluster.orchestrator.leave(manager, dead, cluster.access)
        assert api.items("/api/v1/pods", fieldSelector="spec.nodeName=kube-3") == []
    health = await cluster.orchestrator.health(manager, cluster.access)
    assert health == {member.name: True for member in cluster.members[:2]}
    await cluster.remove(dead)
    await cluster.start(dead)
    await cluster.orchestrator.join(manager, dead, cluster.access)
    await cluster.orchestrator.ensure_overlay(cluster.members, NETWORK, cluster.access)
    await cluster.orchestrator.verify(cluster.members, NETWORK, cluster.access)


def healthy(api: Api, name: str) -> bool:
    node = api.get(f"{NODES}/{name}")
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])


@pytest.mark.parametrize("unit", ["etcd", "kube-apiserver", "kube-controller-manager", "kubelet"])
async def test_a_killed_part_of_the_control_plane_comes_back(cluster: KubernetesNodes, unit: str) -> None:
    manager = cluster.members[0]
    cluster.run(manager, "systemctl", "kill", "--signal=KILL", f"{unit}.service")
    await asyncio.to_thread(
        until, lambda: cluster.run(manager, "systemctl", "show", unit, "-p", "NRestarts").strip() != "NRestarts=0"
    )
    await cluster.orchestrator.form(manager, cluster.access)
    await cluster.orchestrator.verify(cluster.members[:2], NETWORK, cluster.access)


async def test_a_control_plane_node_that_is_killed_comes_back(cluster: KubernetesNodes) -> None:
    manager = cluster.members[0]
    await asyncio.to_thread(cluster.stop, manager)
    with pytest.raises(KubernetesFailed, match=manager.address):
        await cluster.orchestrator.health(manager, cluster.access)
    await cluster.start(manager)
    await cluster.orchestrator.form(manager, cluster.access)
    await cluster.orchestrator.verify(cluster.members, NETWORK, cluster.access)


def test_people_are_admins_by_their_group(
    cluster: KubernetesNodes, releases: Releases, kubernetes: ClusterType, tmp_path: Path
) -> None:
    orchestrator, manager = cluster.orchestrator, cluster.members[0]
    pki = CertificatePki()
    client = pki.client(cluster.keys.authority, name="ann", groups=orchestrator.person_groups)
    stranger = pki.client(cluster.keys.authority, name="bob")
    access = Access(cluster.access.ca_pem, client)
    for name, content in orchestrator.credentials("Kube", orchestrator.endpoint(manager), access).items():
        (tmp_path / name).write_bytes(content)
    kubectl = releases.get(kubernetes.coe, kubernetes.version).path / "bin/kubectl"
    command = (
        "bash",
        "-c",
        f"source {tmp_path}/kubectl.env; {kubectl} auth can-i '*' '*' && {kubectl} get nodes -o name",
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env={"HOME": str(tmp_path)})
    assert done.stdout.split() == ["yes", "node/kube-1", "node/kube-2", "node/kube-3"], done.stderr
    with Api(manager, Access(cluster.access.ca_pem, stranger)) as api, pytest.raises(Refused, match="bob"):
        api.items(NODES)


async def test_a_cluster_without_a_network_waits_for_one_of_peoples_own(
    real_host: RealHost, kubernetes: ClusterType, kubernetes_image: str
) -> None:
    options = {"count": 1, "slot": 1, "network": NETWORK_NONE}
    async with kubernetes_nodes(real_host, kubernetes, kubernetes_image, name="bare", **options) as nodes:
        await nodes.form()
        manager = nodes.members[0]
        assert await nodes.orchestrator.health(manager, nodes.access) == {"bare-1": False}
        with Api(manager, nodes.access) as api:
            ready = next(c for c in api.get(f"{NODES}/bare-1")["status"]["conditions"] if c["type"] == "Ready")
        assert "cni plugin not initialized" in ready["message"]
        assert nodes.run(manager, "systemctl", "is-active", "kube-proxy").strip() == "active"
