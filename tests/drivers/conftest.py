"""Fixtures that tests of real parts share."""

from collections.abc import Iterator

import pytest
from realhost import RealHost, prepared_host

from drivers.images import NodeImages


@pytest.fixture(scope="session")
def real_host() -> Iterator[RealHost]:
    """This machine, prepared; see `RealHost`."""
    with prepared_host() as host:
        yield host


@pytest.fixture(scope="session")
async def node_image(real_host: RealHost) -> str:
    """The digest of the node image, which is on the real host: built once on a machine, and then from its cache."""
    return await NodeImages().ensure(real_host.host)
