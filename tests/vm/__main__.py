"""`python -m tests.vm [tests]`: tests in a virtual machine whose kernel has AppArmor, cgroup v2, IPVS and ESP."""

import sys

from tests.vm.machine import machine, python

LANE = (
    "tests/vm",
    "tests/drivers/test_preflight.py",
    "tests/drivers/test_nodes_real.py",
    "tests/drivers/test_swarm.py",
)
"""What is run when nothing else is asked for."""


def main() -> None:
    """Boot it, run the tests, end with their status."""
    with machine() as booted:
        status = booted.run(
            *python(
                "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-v", *(sys.argv[1:] or LANE)
            )
        )
    sys.exit(status)


if __name__ == "__main__":
    main()
