"""Where the bench runs: an installation of Carina of its own, and beside it, in the same pool, the script's nodes.

It goes at the end; what a killed run left behind (its lock is free) goes at the start of the next one.
"""

import asyncio
import fcntl
import json
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.hosts import Claim
from tests.e2e.installation import TMP, Installation, take_away

NAME = "carina-bench-"
SCRIPT = Path(__file__).with_name("shortest.sh")
TIMEOUT_S = 120.0
_SCRIPT_SUBNET = 250  # the third number of the script's addresses; Carina's clusters begin at 0
_UIDS_PER_NODE = 65536


class Place:
    """An installation that runs, and what the script needs to work beside it."""

    def __init__(self, directory: Path, nodes: int) -> None:
        self.installation = Installation(directory, CARINA_UID_RANGES=str(2 * nodes))
        self._script_nodes = nodes

    @property
    def pool(self) -> Path:
        return self.installation.home / "host" / "pool"

    @property
    def bridge(self) -> str:
        return f"{self.installation.prefix}-bench"

    def start(self) -> None:
        """Start the service, which prepares this machine and fetches the node image, from the cache if it is there."""
        asyncio.run(self.installation.up())

    def create_by_script(self, nodes: int) -> str:
        """Run the script's create, and return what it printed."""
        (image,) = (self.pool / "images").glob("*/rootfs")
        claim = self._claim()
        uids = claim.uid_first + (claim.uid_ranges - self._script_nodes) * _UIDS_PER_NODE
        subnet = f"{claim.network.rsplit('.', 2)[0]}.{_SCRIPT_SUBNET}"
        return run("create", str(self.pool), str(image), self.bridge, subnet, str(uids), str(nodes))

    def answer(self, web: str, asker: str) -> str:
        """Let a container on one of Carina's nodes answer one on another, just as the script does it."""
        return run("answer", str(self.installation.nodes_dir), web, asker)

    def remove_script_nodes(self) -> None:
        run("remove", str(self.pool), self.bridge)

    def close(self) -> None:
        self.remove_script_nodes()
        self.installation.close()

    def _claim(self) -> Claim:
        fields = json.loads(Path(f"/etc/carina/claims/{self.installation.prefix}.json").read_text())
        return Claim(fields["network"], fields["uid_first"], fields["uid_ranges"])


def run(*arguments: str) -> str:
    """Run the script to its end."""
    done = subprocess.run(
        (SCRIPT, *arguments), capture_output=True, text=True, check=False, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise RuntimeError(f"{SCRIPT.name} {arguments[0]}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def place_for(nodes: int) -> Iterator[Place]:
    """A place with room for clusters of up to `nodes` nodes on either side; it is taken away at the end."""
    sweep_killed_runs()
    directory = TMP / f"{NAME}{secrets.token_hex(4)}"
    directory.mkdir(mode=0o711)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        place = Place(directory, nodes)
        try:
            place.start()
            yield place
        finally:
            place.close()


def sweep_killed_runs() -> None:
    for directory in TMP.glob(f"{NAME}*"):
        with (directory / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            run("remove", str(directory / "home" / "host" / "pool"), f"e{directory.name[-3:]}-bench")
            take_away(directory)
