"""Fixtures that tests of real parts share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from realhost import RealHost, prepared_host
from sshd import Sshd, running

from domain.clusters import DEFAULT_KUBERNETES, SWARM, ClusterType, kubernetes_type
from drivers.images import CACHE_DIR, NodeImages
from drivers.release_sources import ensure_release
from drivers.releases import Releases


@pytest.fixture(scope="session")
def real_host() -> Iterator[RealHost]:
    """This machine, prepared; see `RealHost`."""
    with prepared_host() as host:
        yield host


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A real sshd on loopback."""
    with running(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="session")
async def node_image(real_host: RealHost) -> str:
    """The digest of Swarm's node image, which is on the real host: built once on a machine, and then from its cache."""
    return await NodeImages().ensure(real_host.host, SWARM)


@pytest.fixture(scope="session")
def kubernetes() -> ClusterType:
    """The type of a Kubernetes cluster."""
    [(type_id, version)] = DEFAULT_KUBERNETES.items()
    return kubernetes_type(type_id, version)


@pytest.fixture(scope="session")
def releases(real_host: RealHost, kubernetes: ClusterType) -> Releases:
    """Releases with that of `kubernetes`: built once on a machine, and then from its cache."""
    releases = Releases(Path(real_host.host.root) / "releases")
    ensure_release(releases, kubernetes.version, Path(CACHE_DIR))
    return releases


@pytest.fixture(scope="session")
async def kubernetes_image(real_host: RealHost, kubernetes: ClusterType, releases: Releases) -> str:
    """The digest of the node image of `kubernetes`, which is on the real host."""
    return await NodeImages(releases=releases).ensure(real_host.host, kubernetes)
