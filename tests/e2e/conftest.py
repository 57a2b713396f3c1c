"""Fixtures of the end-to-end tests: installations of Carina that are their own, started and taken away."""

from collections.abc import AsyncIterator

import pytest
from installation import Installation, installed


@pytest.fixture(scope="session")
async def carina() -> AsyncIterator[Installation]:
    """An installation that runs, for tests that leave it as they found it."""
    with installed() as installation:
        await installation.up()
        yield installation
