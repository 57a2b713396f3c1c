"""What sending a node image costs, beside scp of the same file: `python -m tests.bench.transfer [MEGABYTES]`.

To a real sshd on loopback, so the network is no bound and what is measured is processor time: this side's asyncssh
against OpenSSH's client. Carina's way includes what scp's does not: the checksum at the other end, and the look at what
is there already. Both take turns, and the first turn counts for neither.
"""

import asyncio
import hashlib
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from domain.hosts import Host
from drivers import image_recipe
from drivers.shells import HostShells
from tests.drivers.sshd import Sshd, running

TURNS = 4
DEFAULT_MEGABYTES = 256
_MEGABYTE = 1_000_000


def _made(file: Path, megabytes: int) -> str:
    """Make a file that can't be compressed, and return its SHA-256."""
    digest = hashlib.sha256()
    with file.open("wb") as sink:
        for _ in range(megabytes):
            part = secrets.token_bytes(_MEGABYTE)
            sink.write(part)
            digest.update(part)
        os.fsync(sink.fileno())
    return digest.hexdigest()


async def _send(shells: HostShells, file: Path, size: int, digest: str, target: Path) -> float:
    """Send a file as an image's stream is sent, and return the seconds that took."""
    began = time.monotonic()
    await shells(Host("far", "far", "127.0.0.1", "/")).run(
        image_recipe.script("image_store"),
        args=(str(target), "image", digest, str(size), "0"),
        stdin=file,
        timeout_s=600,
        what="Sending",
    )
    took_s = time.monotonic() - began
    (target / "image.btrfs.zst").unlink()
    return took_s


def _scp(sshd: Sshd, file: Path, target: Path) -> float:
    """Copy a file with scp, and return the seconds that took."""
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "IdentitiesOnly=yes")
    flags = [flag for option in options for flag in ("-o", option)]
    command = ["scp", "-q", *flags, "-P", str(sshd.port), "-i", sshd.home / "client", file, f"root@127.0.0.1:{target}/"]
    began = time.monotonic()
    subprocess.run(command, check=True)
    took_s = time.monotonic() - began
    (target / file.name).unlink()
    return took_s


async def measure(megabytes: int) -> dict[str, float]:
    """Return megabytes a second of either way, the median of the turns, and their ratio."""
    with tempfile.TemporaryDirectory(prefix="carina-transfer-", dir="/var/tmp") as name:
        home = Path(name)
        (home / "sshd").mkdir()
        (home / "target").mkdir()
        file = home / "stream"
        digest = _made(file, megabytes)
        with running(home / "sshd", "Subsystem sftp internal-sftp") as sshd:
            shells = HostShells(lambda _: sshd.target())
            sent, copied = [], []
            for _ in range(TURNS + 1):
                sent.append(await _send(shells, file, megabytes * _MEGABYTE, digest, home / "target"))
                copied.append(await asyncio.to_thread(_scp, sshd, file, home / "target"))
            await shells.close()
    ours, theirs = (megabytes / statistics.median(turns[1:]) for turns in (sent, copied))
    return {"megabytes": megabytes, "carina_mb_per_s": round(ours, 1), "scp_mb_per_s": round(theirs, 1),
            "ratio": round(ours / theirs, 2)}  # fmt: skip


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_MEGABYTES
    print(json.dumps(asyncio.run(measure(wanted)), indent=1))  # noqa: T201 - what it is run for
