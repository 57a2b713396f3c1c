"""What tests that only the virtual machine can pass share with those of the drivers."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "drivers"))

from conftest import node_image, real_host

from drivers.provision import TIMEOUT_S, provision_steps
from drivers.shell import LocalShell
from drivers.steps import run_steps

__all__ = ["node_image", "real_host"]


@pytest.fixture(scope="session", autouse=True)
async def prepared() -> None:
    """Load the kernel modules and raise the settings that hosts are given."""
    await run_steps(LocalShell(), provision_steps("the virtual machine"), timeout_s=TIMEOUT_S)
