"""The disk that hosts of racks boot from: Debian as an operator would install it on a machine for Carina.

It is made once on a machine and kept, by the digest of its recipe, in /var/cache/carina/racks. Hosts mount it as the
lower layer of their own disks and so share it.
"""

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rack.commands import run

CACHE = Path("/var/cache/carina/racks")
SUITE = "trixie"
OPERATOR = "operator"
"""A user who may use sudo without a password."""

BOOTED_BY = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "iputils-ping",
    "kmod",
    "libpam-systemd",
    "openssh-server",
    "procps",
    "sudo",
    "systemd-sysv",
)
NEEDED_BY_CARINA = ("btrfs-progs", "lxc", "lxcfs", "nftables", "uidmap", "zstd")
"""What Carina would install; a rack can be asked to leave some of it out."""

_FINISH = """
set -euo pipefail
root=$1 operator=$2
chroot "$root" useradd --create-home --no-user-group --gid operator --shell /bin/bash "$operator"
echo "$operator ALL=(ALL) NOPASSWD: ALL" > "$root/etc/sudoers.d/$operator"
chmod 0440 "$root/etc/sudoers.d/$operator"
# Each host is given a key of its own.
rm -f "$root"/etc/ssh/ssh_host_*
printf 'HostKey /etc/ssh/ssh_host_ed25519_key\\nUseDNS no\\n' > "$root/etc/ssh/sshd_config.d/rack.conf"
# The kernel is the test machine's own: a rack leaves its settings, its clock and its disks alone.
for name in 10-coredump-debian.conf 50-pid-max.conf; do ln -sf /dev/null "$root/etc/sysctl.d/$name"; done
# Chores that would hold apt's lock, or disks, while a test runs.
for unit in sshd-keygen.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \\
  fstrim.timer systemd-pstore.service systemd-modules-load.service getty.target getty-static.service; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
# Nobody asked for a bridge, for which lxc.service would wait for half a minute.
echo 'USE_LXC_BRIDGE="false"' > "$root/etc/default/lxc-net"
# This container stands for a machine.
mkdir -p "$root/etc/systemd/system/lxcfs.service.d"
printf '[Unit]\\nConditionVirtualization=\\n' > "$root/etc/systemd/system/lxcfs.service.d/rack.conf"
: > "$root/etc/machine-id"
rm -f "$root/etc/hostname"
"""


def digest() -> str:
    """Return the digest of all that decides what the disk will be."""
    recipe = (SUITE, *BOOTED_BY, *NEEDED_BY_CARINA, OPERATOR, _FINISH)
    return hashlib.sha256("\0".join(recipe).encode()).hexdigest()


@contextmanager
def in_use() -> Iterator[Path]:
    """Keep the disk, made if it is not there, from being cleared away; yield its directory, which nobody may change."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{digest()}.lock").open("w") as lock:
        disk = CACHE / digest()
        fcntl.flock(lock, fcntl.LOCK_SH)
        if not disk.exists():
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not disk.exists():  # nobody else has made it since
                _make(disk)
                _clear_others()
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield disk


def _make(disk: Path) -> None:
    """Install Debian from the mirror that the machine's own apt uses."""
    for left in CACHE.glob(f".{disk.name}-*"):
        shutil.rmtree(left)
    new = Path(tempfile.mkdtemp(prefix=f".{disk.name}-", dir=CACHE))
    packages = ",".join((*BOOTED_BY, *NEEDED_BY_CARINA))
    run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", SUITE, str(new / "disk"), timeout_s=900)
    run("bash", "-c", _FINISH, "carina", str(new / "disk"), OPERATOR)
    (new / "disk").rename(disk)
    new.rmdir()


def _clear_others() -> None:
    """Remove disks of other recipes that nothing uses."""
    for lock_path in CACHE.glob("*.lock"):
        if lock_path.stem == digest():
            continue
        with lock_path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(CACHE / lock_path.stem, ignore_errors=True)
            lock_path.unlink()
