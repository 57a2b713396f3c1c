"""The disk, kernel and environment that the virtual machine boots: Debian, and Carina's Python packages.

It is made once on a machine and kept, by the digest of its recipe, in /var/cache/carina/vm. Virtual machines write to
a copy of their own that goes with them, so it stays as it was made.
"""

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rack.commands import run

CACHE = Path("/var/cache/carina/vm")
REPOSITORY = Path(__file__).parents[2]
LIBRARY = "/opt/carina"
"""Where Carina's dependencies are in the virtual machine, for the Python that Debian has."""
PYTHON_VERSION = "3.13"

SUITE = "trixie"
DISK_BYTES = 12 * 2**30  # sparse
PACKAGES = (
    "apparmor",
    "btrfs-progs",
    "ca-certificates",
    "curl",
    "dbus",
    "iproute2",
    "iptables",
    "iputils-ping",
    "kmod",
    "libpam-systemd",
    "linux-image-amd64",
    "lxc",
    "lxcfs",
    "mmdebstrap",
    "nftables",
    "openssh-server",
    "openssl",
    "procps",
    "python3",
    "sudo",
    "systemd-sysv",
    "tcpdump",
    "udev",
    "uidmap",
    "wireguard-tools",
    "zstd",
)

_FINISH = """
set -euo pipefail
root=$1
echo '/dev/vda / ext4 noatime 0 1' > "$root/etc/fstab"
echo carina-vm > "$root/etc/hostname"
echo '127.0.0.1 localhost carina-vm' > "$root/etc/hosts"
: > "$root/etc/machine-id"
printf '[Match]\\nName=en*\\n[Network]\\nDHCP=ipv4\\n' > "$root/etc/systemd/network/vm.network"
chroot "$root" systemctl --quiet enable systemd-networkd
# Chores that would take the processor while a test runs.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \\
  getty.target serial-getty@ttyS0.service systemd-networkd-wait-online.service; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
echo 'USE_LXC_BRIDGE="false"' > "$root/etc/default/lxc-net"
mkdir -p "$root/repository" "$root/var/cache/carina"
# 9p is how the repository and the cache of node images come in.
printf '%s\\n' 9p 9pnet_virtio >> "$root/etc/initramfs-tools/modules"
chroot "$root" update-initramfs -u 2> /dev/null > /dev/null
"""


def digest() -> str:
    """Return the digest of all that decides what the disk will be."""
    lock = (REPOSITORY / "requirements.lock").read_text()
    recipe = (SUITE, str(DISK_BYTES), *PACKAGES, _FINISH, lock)
    return hashlib.sha256("\0".join(recipe).encode()).hexdigest()


@contextmanager
def in_use() -> Iterator[Path]:
    """Keep the image, made if it is not there, from being cleared away; yield its directory: disk, kernel, initrd."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        image = CACHE / digest()
        fcntl.flock(lock, fcntl.LOCK_SH)
        if not image.exists():
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not image.exists():  # nobody else has made it since
                _make(image)
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield image


def _make(image: Path) -> None:
    """Install Debian from the mirror that the machine's own apt uses. Those of other recipes and killed runs go."""
    for other in CACHE.iterdir():
        if other.is_dir():
            shutil.rmtree(other)
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=CACHE))
    root = new / "root"
    run(
        "mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root), timeout_s=900
    )
    run("bash", "-c", _FINISH, "carina", str(root), timeout_s=900)
    _install_library(root)
    for name in ("vmlinuz", "initrd.img"):
        shutil.copyfile((root / name).resolve(), new / name)
    run("truncate", "--size", str(DISK_BYTES), str(new / "disk"))
    run("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(new / "disk"), timeout_s=300)
    shutil.rmtree(root)
    new.rename(image)


def _install_library(root: Path) -> None:
    """Install Carina's dependencies, of the very versions that are locked, for the virtual machine's Python."""
    run(
        str(REPOSITORY / ".venv/bin/uv"), "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:",
        "--python-version", PYTHON_VERSION, "--python-platform", "x86_64-unknown-linux-gnu",
        "--target", f"{root}{LIBRARY}", "--requirement", str(REPOSITORY / "requirements.lock"),
        timeout_s=600,
    )  # fmt: skip
