"""The virtual machine: QEMU without hardware acceleration, which any machine can run, if slowly."""

import base64
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.rack.commands import run
from tests.vm.image import LIBRARY, REPOSITORY, in_use

CPUS = 2
MEMORY_MIB = 6144
BOOT_TIMEOUT_S = 600.0
READY_TIMEOUT_S = 240
"""How long an engine may take to be ready there."""
NODE_IMAGES = Path("/var/cache/carina")
_POLL_S = 1.0
_OPTIONS = (
    "-oBatchMode=yes", "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null", "-oLogLevel=ERROR",
    "-oServerAliveInterval=30",
)  # fmt: skip
_MOUNTS = """
set -euo pipefail
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,ro repository /repository
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,ro images /mnt
# What is there serves; what is not is made in the virtual machine, for its time.
mkdir -p /var/vm/new /var/vm/work
mount -t overlay overlay -o lowerdir=/mnt,upperdir=/var/vm/new,workdir=/var/vm/work /var/cache/carina
"""


@dataclass(frozen=True)
class Machine:
    """A virtual machine that is up. root logs in at `port` of the loopback interface with the key `identity`."""

    port: int
    identity: Path

    def run(self, *command: str) -> int:
        """Run a command there, its output being this process's, and return its exit status."""
        return subprocess.run(self._ssh(command), check=False).returncode

    def answers(self) -> bool:
        """Whether one can log in."""
        return subprocess.run(self._ssh(("true",)), check=False, capture_output=True).returncode == 0

    def do(self, script: str) -> None:
        """Run a bash script there; raise `AssertionError` if it ends badly."""
        run(*self._ssh(("bash", "-s")), stdin=script)

    def _ssh(self, command: Sequence[str]) -> Sequence[str]:
        return ("ssh", *_OPTIONS, "-i", str(self.identity), "-p", str(self.port), "root@127.0.0.1", *command)


@contextmanager
def machine() -> Iterator[Machine]:
    """Boot a virtual machine with the repository at /repository, and power it off at the end, its disk with it."""
    with in_use() as image, tempfile.TemporaryDirectory(prefix="carina-vm-", dir="/var/tmp") as kept:
        directory = Path(kept)
        made = Machine(_free_port(), directory / "key")
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(made.identity))
        # It ends with this process, however that ends.
        ended_with_this = ("setpriv", "--pdeathsig", "KILL")
        with subprocess.Popen((*ended_with_this, *_qemu(image, directory, made)), stdin=subprocess.DEVNULL) as qemu:
            try:
                _await_ssh(made, qemu, directory)
                made.do(_MOUNTS)
                yield made
            finally:
                qemu.kill()


def python(*arguments: str) -> Sequence[str]:
    """Return the command that runs Carina's Python in the virtual machine."""
    return ("cd", "/repository", "&&", f"PYTHONPATH={LIBRARY}:/repository", "PYTHONDONTWRITEBYTECODE=1",
            f"CARINA_NODE_READY_TIMEOUT_S={READY_TIMEOUT_S}", "python3", *arguments)  # fmt: skip


def _qemu(image: Path, directory: Path, made: Machine) -> Sequence[str]:
    """Return the command line: see qemu-system-x86_64(1). The disk's changes go to a file that has no name."""
    key = base64.b64encode(made.identity.with_suffix(".pub").read_bytes()).decode()
    return (
        "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", str(CPUS), "-m", str(MEMORY_MIB),
        "-nodefaults", "-no-reboot", "-display", "none", "-serial", f"file:{directory}/console",
        "-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd.img"),
        "-append", "root=/dev/vda rw console=ttyS0 quiet apparmor=1 security=apparmor",
        "-drive", f"file={image}/disk,format=raw,if=virtio,snapshot=on,cache=unsafe",
        "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{made.port}-:22", "-device", "virtio-net-pci,netdev=net",
        "-device", "virtio-rng-pci",
        "-virtfs", f"local,path={REPOSITORY},mount_tag=repository,security_model=none,readonly=on",
        "-virtfs", f"local,path={NODE_IMAGES},mount_tag=images,security_model=none,readonly=on",
        # systemd.system-credentials(7): it becomes root's authorized_keys.
        "-smbios", f"type=11,value=io.systemd.credential.binary:ssh.authorized_keys.root={key}",
    )  # fmt: skip


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _await_ssh(made: Machine, qemu: subprocess.Popen[bytes], directory: Path) -> None:
    deadline = time.monotonic() + BOOT_TIMEOUT_S
    while not made.answers():
        if qemu.poll() is not None or time.monotonic() > deadline:
            sys.stderr.write((directory / "console").read_text(errors="replace")[-3000:])
            raise AssertionError("the virtual machine did not come up; its console is above")
        time.sleep(_POLL_S)
