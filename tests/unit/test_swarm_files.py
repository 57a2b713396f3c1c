import json

from domain.hosts import Host, HostState
from domain.nodes import NodePlan, NodeRole, Segment, Stamp
from domain.options import ClusterOptions
from domain.secrets import KeyPair
from drivers.swarm_files import node_files


def plan(mtu: int) -> NodePlan:
    host = Host("h", "local", "local", "/var/lib/carina/host", HostState.READY, None, mtu=mtu)
    segment = Segment("c", "carn-br0", "10.64.0.0/24", "10.64.0.1", mtu)
    stamp = Stamp("carn", "c", "n", "image")
    return NodePlan(
        host, "demo-1", "carn-demo-1", NodeRole.MANAGER, "10.64.0.10", 1_000_000, "carn-0n1", segment, stamp, "image"
    )


def test_docker_listens_under_tls_only_and_asks_for_the_clusters_certificate() -> None:
    files = {file.path: file for file in node_files(plan(1500), ClusterOptions(), b"ca", KeyPair(b"cert", b"key"))}
    settings = json.loads(files["/etc/docker/daemon.json"].content)
    assert settings["tlsverify"] is True
    assert [host for host in settings["hosts"] if host.startswith("tcp:")] == ["tcp://10.64.0.10:2376"]
    assert files[settings["tlscacert"]].content == b"ca"
    assert files[settings["tlscert"]].content == b"cert"
    assert files[settings["tlskey"]].content == b"key"
    assert files[settings["tlskey"]].mode == 0o600


def test_no_network_sends_packets_larger_than_the_segment_carries() -> None:
    files = {file.path: file for file in node_files(plan(1400), ClusterOptions(), b"ca", KeyPair(b"cert", b"key"))}
    settings = json.loads(files["/etc/docker/daemon.json"].content)
    mtus = settings["default-network-opts"]
    assert settings["mtu"] == 1400
    assert mtus["bridge"]["com.docker.network.driver.mtu"] == "1400"
    assert mtus["overlay"]["com.docker.network.driver.mtu"] == "1350"


def test_docker_asks_the_mirror_and_speaks_to_insecure_registries_without_tls() -> None:
    options = ClusterOptions(
        registry_mirrors=(("docker.io", "http://10.0.0.5:5000"),), insecure_registries=("10.0.0.5:5000",)
    )
    files = {file.path: file for file in node_files(plan(1500), options, b"ca", KeyPair(b"cert", b"key"))}
    settings = json.loads(files["/etc/docker/daemon.json"].content)
    assert settings["registry-mirrors"] == ["http://10.0.0.5:5000"]
    assert settings["insecure-registries"] == ["10.0.0.5:5000"]


def test_docker_is_told_of_no_registry_unless_asked() -> None:
    files = {file.path: file for file in node_files(plan(1500), ClusterOptions(), b"ca", KeyPair(b"cert", b"key"))}
    assert not {name for name in json.loads(files["/etc/docker/daemon.json"].content) if "registr" in name}
