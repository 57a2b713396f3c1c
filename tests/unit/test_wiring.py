"""What the settings and the releases on the disk say of what clusters can be made of."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from domain.sizes import Size
from drivers.releases import Releases
from worker.settings import Settings
from worker.wiring import InstalledReleases


def test_versions_of_kubernetes_are_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [kind.id for kind in Settings().types] == [20, 22]
    monkeypatch.setenv("CARINA_KUBERNETES", '{"24": "1.34.4", "20": "1.35.4"}')
    kinds = Settings().types
    assert [(kind.id, kind.name, kind.version) for kind in kinds] == [
        (20, "Kubernetes 1.35 on LXC", "1.35.4"),
        (24, "Kubernetes 1.34 on LXC", "1.34.4"),
        (22, "Docker Swarm 26.1 on LXC", "26.1"),
    ]


def test_sizes_of_nodes_and_needs_of_types_are_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {(kind.size, kind.requires) for kind in Settings().types} == {(Size(), ())}
    monkeypatch.setenv("CARINA_NODE_SIZES", '{"22": {"cpus": 1.5, "memory_bytes": 1073741824}}')
    monkeypatch.setenv("CARINA_HOST_CAPABILITIES", '{"22": ["ipvs", "esp"]}')
    kubernetes, swarm = Settings().types
    assert (kubernetes.size, kubernetes.requires) == (Size(), ())
    assert (swarm.size, swarm.requires) == (Size(1.5, 2**30, 0), ("esp", "ipvs"))


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("NODE_SIZES", '{"22": {"memory_bytes": 1000}}', "node_sizes: 1000 bytes of memory are too few"),
        ("NODE_SIZES", '{"22": {"cpus": -1}}', "node_sizes: A node's size has no negative numbers"),
        ("NODE_SIZES", '{"99": {"cpus": 1}}', "node_sizes: There is no cluster type 99. Choose from: 20, 22."),
        ("NODE_SIZES", '{"22": {"memory": "4 GiB"}}', "memory"),
        ("HOST_CAPABILITIES", '{"99": ["ipvs"]}', "host_capabilities: There is no cluster type 99."),
        ("KUBERNETES", '{"20": "1.35"}', "kubernetes: '1.35' is no version"),
        ("MANAGEMENT_NETWORKS", '["192.0.2.1/24"]', "management_networks.0"),
    ],
)
def test_settings_that_can_not_be_are_told_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(f"CARINA_{variable}", value)
    with pytest.raises(ValidationError, match=re.escape(told)):
        Settings()


def test_management_networks_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().guarded_networks == []
    monkeypatch.setenv("CARINA_MANAGEMENT_NETWORKS", '["192.0.2.0/24", "198.51.100.7"]')
    assert Settings().guarded_networks == ["192.0.2.0/24", "198.51.100.7/32"]


def test_a_swarm_needs_no_release_and_kubernetes_its_own(tmp_path: Path) -> None:
    releases = Releases(tmp_path)
    installed = InstalledReleases(releases)
    assert installed.has("swarm", "26.1")
    assert not installed.has("kubernetes", "1.35.4")
    releases.add("kubernetes", "1.35.4", {})
    assert installed.has("kubernetes", "1.35.4")
    assert not installed.has("kubernetes", "1.34.4")
