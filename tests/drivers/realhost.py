"""A real host to test on: this machine, with an instance of Carina of its own.

The instance has its own prefix, root directory, loop-mounted btrfs pool, bridge, network and uid range, so it meets
neither another test run nor an installed Carina. All of it goes at the end; what a killed run left behind (its lock
is free) goes at the start of the next one.
"""

import fcntl
import ipaddress
import json
import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from domain.hosts import Claim, Host, HostState
from domain.instance import Instance
from domain.nodes import Segment

TMP = Path("/var/tmp")
ROOT_NAME = re.compile(r"carina-host-(?P<prefix>t[0-9a-f]{3})")
POOL_BYTES = 8 * 2**30  # sparse
UID_RANGES = 16
READY_TIMEOUT_S = float(os.environ.get("CARINA_NODE_READY_TIMEOUT_S", "30"))
"""How long an engine may take to be ready after a node's start. Processors that are emulated need more."""
SUBID_FILES = (Path("/etc/subuid"), Path("/etc/subgid"))


@dataclass(frozen=True)
class RealHost:
    """This machine as a prepared host of a test's own instance. `segment` is a bridge that is up."""

    instance: Instance
    host: Host
    segment: Segment

    @property
    def pool(self) -> Path:
        return Path(self.host.root) / "pool"

    @property
    def claim(self) -> Claim:
        assert self.host.claim
        return self.host.claim


def new_instance() -> tuple[Instance, Path]:
    """Return an instance that this machine has no other of, and make its root directory."""
    while True:
        instance = Instance("t" + secrets.token_hex(2)[:3])
        root = TMP / f"carina-host-{instance.prefix}"
        with suppress(FileExistsError):
            root.mkdir()
            return instance, root


@contextmanager
def prepared_host(pool_bytes: int = POOL_BYTES) -> Iterator[RealHost]:
    """Prepare this machine for a new instance, and take all of that back at the end."""
    if os.geteuid() != 0:
        pytest.fail("tests of real nodes need root")
    sweep_killed_runs()
    instance, root = new_instance()
    with ExitStack() as stack:
        lock = stack.enter_context((root / "lock").open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        stack.callback(tear_down, root)
        network = free_network()
        claim = Claim(str(network), claim_uids(root), UID_RANGES)
        make_pool(root, pool_bytes)
        segment = make_segment(instance, network)
        host = Host("host-test", "local", "local", str(root), HostState.READY, claim, mtu=1500)
        yield RealHost(instance, host, segment)


def sweep_killed_runs() -> None:
    """Take back what test runs left that ended without doing so: their locks are free."""
    for root in TMP.iterdir():
        if not ROOT_NAME.fullmatch(root.name):
            continue
        with (root / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            tear_down(root)


def tear_down(root: Path) -> None:
    """Remove all that the instance with this root has on the machine, whatever state it is in."""
    prefix = root.name.rpartition("-")[2]
    nodes = root / "pool" / "nodes"
    for pool in (nodes, *root.glob("pool/images/.new-*")):
        for container in sorted(pool.glob("*")) if pool.is_dir() else []:
            if (container / "config").exists():
                run("lxc-stop", "-k", "-P", str(pool), "-n", container.name, check=False)
    for link in json.loads(run("ip", "-j", "link", "show")):
        if link["ifname"].startswith(f"{prefix}-"):
            run("ip", "link", "delete", link["ifname"], check=False)
    run("nft", "delete", "table", "inet", Instance(prefix).nft_table, check=False)
    for mount in sorted(mounts_below(root), reverse=True):
        run("umount", "--lazy", mount)
    for line in run("losetup", "--noheadings", "--output", "NAME,BACK-FILE", "--list").splitlines():
        device, _, backing = line.partition(" ")
        if backing.strip().startswith(str(root)):
            run("losetup", "--detach", device)
    release_uids(root)
    shutil.rmtree(root)


def mounts_below(root: Path) -> list[str]:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if point.startswith(f"{root}/")]


def free_network() -> ipaddress.IPv4Network:
    """Return a /16 that no route of the machine touches."""
    routes = json.loads(run("ip", "-j", "-4", "route", "show", "table", "all"))
    taken = [ipaddress.ip_network(r["dst"], strict=False) for r in routes if r.get("dst", "default") != "default"]
    start = secrets.randbelow(64)
    for number in range(64):
        network = ipaddress.IPv4Network(f"10.{128 + (start + number) % 64}.0.0/16")
        if not any(network.overlaps(other) for other in taken):
            return network
    pytest.fail("no /16 in 10.128.0.0/10 is free")


def claim_uids(root: Path) -> int:
    """Claim uids and gids for root in /etc/subuid and /etc/subgid; the line is kept in `root` for the sweep."""
    with ExitStack() as stack:
        for file in SUBID_FILES:
            stack.enter_context(subid_lock(file))
        lines = [line for file in SUBID_FILES if file.exists() for line in file.read_text().splitlines()]
        starts = {int(line.split(":")[1]) for line in lines if line.count(":") == 2}
        first = next(n for n in range(500_000_000, 900_000_000, 2_000_000) if n not in starts)
        line = f"root:{first}:{UID_RANGES * 65536}"
        (root / "subid").write_text(line)
        for file in SUBID_FILES:
            replace_lines(file, [*lines_of(file), line])
    return first


def release_uids(root: Path) -> None:
    kept = root / "subid"
    if not kept.exists():
        return
    for file in SUBID_FILES:
        with subid_lock(file):
            replace_lines(file, [line for line in lines_of(file) if line != kept.read_text()])


def lines_of(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def replace_lines(file: Path, lines: list[str]) -> None:
    new = file.with_name(f"{file.name}.{os.getpid()}")
    new.write_text("".join(f"{line}\n" for line in lines))
    new.chmod(0o644)
    new.replace(file)


@contextmanager
def subid_lock(file: Path) -> Iterator[None]:
    """Hold the lock that useradd(8) and its kin take on such a file: a link that names the holder's process."""
    own, lock = file.with_name(f"{file.name}.{os.getpid()}.lock"), file.with_name(f"{file.name}.lock")
    own.write_text(f"{os.getpid()}\0")
    try:
        until = time.monotonic() + 30
        while True:
            try:
                lock.hardlink_to(own)
                break
            except FileExistsError:
                assert time.monotonic() < until, f"{lock} has been held for half a minute"
                time.sleep(0.02)
        yield
        lock.unlink()
    finally:
        own.unlink()


def make_pool(root: Path, size: int) -> None:
    image = root / "pool.img"
    with image.open("wb") as file:
        file.truncate(size)
    (root / "pool").mkdir()
    run("mkfs.btrfs", "--quiet", str(image))
    run("mount", "-o", "loop,noatime", str(image), str(root / "pool"))
    for name in ("images", "nodes"):
        (root / "pool" / name).mkdir()


def make_segment(instance: Instance, network: ipaddress.IPv4Network) -> Segment:
    bridge = instance.bridge(0)
    gateway = str(network.network_address + 1)
    run("ip", "link", "add", bridge, "type", "bridge")
    run("ip", "address", "add", f"{gateway}/24", "dev", bridge)
    run("ip", "link", "set", bridge, "up")
    return Segment("cluster-test", bridge, f"{network.network_address}/24", gateway, 1500)


def run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
