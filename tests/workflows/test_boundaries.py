"""What workflows are made of: light imports, and a title for each step."""

import subprocess
import sys
from pathlib import Path

from workflow_testbed import Bed

from domain.operations import STEP_TITLES

HEAVY = {
    "alembic",
    "asyncssh",
    "cryptography",
    "docker",
    "fastapi",
    "kubernetes",
    "pydantic",
    "requests",
    "sqlalchemy",
    "sqlmodel",
    "structlog",
    "api",
    "drivers",
    "store",
    "worker",
}
PROBE = """
import importlib, pkgutil, sys, workflows
for module in pkgutil.iter_modules(workflows.__path__):
    importlib.import_module(f"workflows.{module.name}")
print("\\n".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_importing_the_workflows_brings_in_nothing_that_touches_the_world() -> None:
    root = Path(__file__).parents[2]
    shown = subprocess.run([sys.executable, "-c", PROBE], cwd=root, check=True, capture_output=True, text=True)
    loaded = set(shown.stdout.split())
    assert {"workflows", "activities", "domain"} <= loaded
    assert loaded & HEAVY == set()


def test_every_activity_has_a_title_and_every_title_an_activity(idle_bed: Bed) -> None:
    assert {activity.__name__ for activity in idle_bed.activities()} == set(STEP_TITLES)
