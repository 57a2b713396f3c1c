"""Where the bench runs: an installation of Carina of its own, and beside it, in the same pool, the scripts' nodes.

It goes at the end; what a killed run left behind (its lock is free) goes at the start of the next one.
"""

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from domain.hosts import Claim
from drivers.release_sources import ensure_release
from drivers.releases import Releases
from tests.bench.runs import Json
from tests.e2e.installation import BIN, TMP, Installation, new_directory, take_away

NAME = "carina-bench-"
CLUSTER = "bench"
SCRIPTS = Path(__file__).parent
ROOT = SCRIPTS.parents[1]
REMOVER = "swarm_shortest.sh"  # any of the scripts can: it looks at no more than what is there
TIMEOUT_S = 120.0
_SCRIPT_SUBNET = 250  # the third number of the scripts' addresses; Carina's clusters begin at 0
_UIDS_PER_NODE = 65536
_CACHE = Path("/var/cache/carina")


class Place:
    """An installation that runs, and what the scripts need to work beside it."""

    python = Path(sys.executable)

    def __init__(self, directory: Path, nodes: int) -> None:
        self.installation = Installation(directory, CARINA_UID_RANGES=str(2 * nodes + 1))
        self.keys = directory / "keys"
        self._script_nodes = nodes
        self._images: dict[str, Path] = {}

    @property
    def pool(self) -> Path:
        return self.installation.home / "host" / "pool"

    @property
    def bridge(self) -> str:
        return f"{self.installation.prefix}-bench"

    def start(self) -> None:
        """Start the service, which prepares this machine and fetches the node image, from the cache if it is there."""
        asyncio.run(self.installation.up())

    def warm_up(self, coe: str) -> None:
        """Make sure that the release and the node image are there, by a first cluster that nobody times."""
        if coe == "kubernetes":
            for version in (kind["version"] for kind in self._types() if kind["coe"] == coe):
                ensure_release(Releases(self.installation.home / "releases"), version, _CACHE)
        self.create(coe, 1)
        cluster, _ = self.cluster()
        (node,) = self.installation.nodes(cluster["id"])
        stamp = json.loads((self.installation.nodes_dir / node["container"] / "stamp.json").read_text())
        self._images[coe] = self.pool / "images" / stamp["image"] / "rootfs"
        self.delete()

    def create(self, coe: str, nodes: int) -> None:
        """Create the bench's cluster as a person does it."""
        self.installation.carina("create", CLUSTER, "--type", coe, "--nodes", str(nodes), "--wait")

    def cluster(self) -> tuple[Json, Json]:
        """Return the bench's cluster, and its last operation with all steps."""
        (cluster,) = self.installation.get(f"/clusters?name={CLUSTER}")["clusters"]
        listed = self.installation.get(f"/clusters/{cluster['id']}/operations")["operations"]
        return cluster, self.installation.get(f"/operations/{listed[-1]['id']}")

    def delete(self) -> None:
        """Delete the bench's cluster."""
        self.installation.carina("delete", CLUSTER, "--yes", "--wait")

    def create_by_script(self, script: str, coe: str, nodes: int, *more: str) -> str:
        """Run a script's create, and return what it printed."""
        return self.run(script, "create", *self._ground(coe), str(nodes), *more)

    def join_by_script(self, script: str, coe: str, number: int, *more: str) -> str:
        """Let a script add a node, the `number`th, to the cluster that it made."""
        return self.run(script, "join", *self._ground(coe), str(number), *more)

    def remove_script_nodes(self) -> None:
        self.run(REMOVER, "remove", str(self.pool), self.bridge)

    def clear_keys(self) -> None:
        """Have an empty directory for the keys of one cluster."""
        shutil.rmtree(self.keys, ignore_errors=True)
        self.keys.mkdir(mode=0o700)

    def close(self) -> None:
        self.remove_script_nodes()
        self.installation.close()

    @staticmethod
    def run(script: str, *arguments: str) -> str:
        """Run a script to its end."""
        done = subprocess.run(
            (SCRIPTS / script, *arguments),
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith("CARINA_")},
        )
        if done.returncode != 0:
            raise RuntimeError(f"{script} {arguments[0]}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def _types(self) -> Sequence[Json]:
        kinds: Sequence[Json] = self.installation.get("/cluster_types")["cluster_types"]
        return kinds

    def _ground(self, coe: str) -> Sequence[str]:
        """Return where a script's nodes stand: pool, image, bridge, subnet, and the first of their uids."""
        fields = json.loads(Path(f"/etc/carina/claims/{self.installation.prefix}.json").read_text())
        claim = Claim(fields["network"], fields["uid_first"], fields["uid_ranges"])
        # The last range of the claim is the one that images boot in.
        uids = claim.uid_first + (claim.uid_ranges - 1 - self._script_nodes) * _UIDS_PER_NODE
        subnet = f"{claim.network.rsplit('.', 2)[0]}.{_SCRIPT_SUBNET}"
        return str(self.pool), str(self._images[coe]), self.bridge, subnet, str(uids)


def client_start_ms(place: Place) -> float:
    """How long the client takes to do nothing."""
    began = time.monotonic()
    place.installation.run(str(BIN / "carina"), "--version")
    return (time.monotonic() - began) * 1000


@contextmanager
def place_for(nodes: int) -> Iterator[Place]:
    """A place with room for clusters of up to `nodes` nodes on either side; it is taken away at the end."""
    sweep_killed_runs()
    directory = new_directory(NAME)
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
            pool = directory / "home" / "host" / "pool"
            Place.run(REMOVER, "remove", str(pool), f"e{directory.name[-3:]}-bench")
            take_away(directory)
