"""Node images that are only remembered."""

from domain.clusters import ClusterType
from domain.errors import CarinaError
from domain.hosts import Host

DIGEST = "f" * 64


class FakeImages:
    """An `Images` without a host. `built` lists the ids of hosts, in turn; `error`, if set, is raised instead."""

    def __init__(self, error: CarinaError | None = None) -> None:
        self.error = error
        self.built: list[str] = []

    async def ensure(self, host: Host, kind: ClusterType) -> str:
        """Return the digest of an image that is there from now on."""
        if self.error is not None:
            raise self.error
        self.built.append(host.id)
        return DIGEST
