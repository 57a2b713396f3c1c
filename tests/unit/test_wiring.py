"""What the settings and the releases on the disk say of what clusters can be made of."""

from pathlib import Path

import pytest

from domain.clusters import cluster_types
from drivers.releases import Releases
from worker.settings import Settings
from worker.wiring import InstalledReleases


def test_versions_of_kubernetes_are_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [kind.id for kind in cluster_types(Settings().kubernetes)] == [20, 22]
    monkeypatch.setenv("CARINA_KUBERNETES", '{"24": "1.34.4", "20": "1.35.4"}')
    kinds = cluster_types(Settings().kubernetes)
    assert [(kind.id, kind.name, kind.version) for kind in kinds] == [
        (20, "Kubernetes 1.35 on LXC", "1.35.4"),
        (24, "Kubernetes 1.34 on LXC", "1.34.4"),
        (22, "Docker Swarm 26.1 on LXC", "26.1"),
    ]


def test_a_swarm_needs_no_release_and_kubernetes_its_own(tmp_path: Path) -> None:
    releases = Releases(tmp_path)
    installed = InstalledReleases(releases)
    assert installed.has("swarm", "26.1")
    assert not installed.has("kubernetes", "1.35.4")
    releases.add("kubernetes", "1.35.4", {})
    assert installed.has("kubernetes", "1.35.4")
    assert not installed.has("kubernetes", "1.34.4")
