"""Fixtures of the end-to-end tests: installations of Carina that are their own, started and taken away."""

import json
from collections.abc import AsyncIterator

import pytest
from installation import Installation, installed

from domain.clusters import DEFAULT_KUBERNETES


@pytest.fixture(scope="session")
async def carina() -> AsyncIterator[Installation]:
    """An installation that runs, for tests that leave it as they found it. Of two versions it has one."""
    with installed(CARINA_KUBERNETES=json.dumps(DEFAULT_KUBERNETES | {24: "1.34.4"})) as installation:
        await installation.up()
        yield installation
