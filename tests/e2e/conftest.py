"""Fixtures of the end-to-end tests: installations of Carina that are their own, started and taken away."""

import json
from collections.abc import AsyncIterator

import pytest
from installation import Installation, installed
from racked import racked

from domain.clusters import DEFAULT_KUBERNETES


@pytest.fixture(scope="session")
async def carina() -> AsyncIterator[Installation]:
    """An installation that runs, for tests that leave it as they found it. Of two versions it has one."""
    with installed(CARINA_KUBERNETES=json.dumps(DEFAULT_KUBERNETES | {24: "1.34.4"})) as installation:
        await installation.up()
        yield installation


@pytest.fixture(scope="session")
async def carina_with_rack() -> AsyncIterator[Installation]:
    """An installation that runs with all nodes on two hosts beside its machine, for tests that leave it as it was."""
    async with racked(2) as made:
        yield made.installation


@pytest.fixture(scope="module", params=["carina", "carina_with_rack"])
def everywhere(request: pytest.FixtureRequest) -> Installation:
    """Each in turn: what holds on one machine has to hold over several hosts."""
    found: Installation = request.getfixturevalue(request.param)
    return found
