"""Node images that are only remembered."""

from collections.abc import Sequence

from domain.clusters import ClusterType
from domain.errors import CarinaError
from domain.hosts import Host

DIGEST = "f" * 64


class FakeImages:
    """An `Images` without a host. `error`, if set, is raised in place of building an image.

    `built` and `collected` list the ids of hosts, in turn.
    """

    def __init__(self, error: CarinaError | None = None) -> None:
        self.error = error
        self.built: list[str] = []
        self.collected: list[str] = []

    async def ensure(self, host: Host, kind: ClusterType) -> str:
        """Return the digest of an image that is there from now on."""
        if self.error is not None:
            raise self.error
        self.built.append(host.id)
        return DIGEST

    async def collect(self, host: Host) -> Sequence[str]:
        """Find nothing to remove."""
        self.collected.append(host.id)
        return ()
