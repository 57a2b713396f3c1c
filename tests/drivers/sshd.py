"""A real sshd of a test's own: on loopback, with its own keys and configuration, and users that exist for it alone.

It ends with this process, however that ends. Its users stand in copies of /etc/passwd and the like that are mounted
over the originals in a mount namespace of its own, so the machine's accounts are as they were, and nobody's ~/.bashrc
has a say. Its /run is its own too.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from drivers.ssh import SshTarget

WITH_SUDO = "carinasudo"
WITHOUT_SUDO = "carinaplain"
_ACCOUNTS = ("passwd", "shadow", "group", "sudoers")


@dataclass(frozen=True)
class Sshd:
    """A server that is up. In `home` are keys: `client` is let in, `stranger` is not; `other_host` is not its own."""

    home: Path
    port: int
    pid: int

    def target(self, **changes: object) -> SshTarget:
        """Return how root gets in, with `changes`."""
        known: dict[str, object] = {
            "address": "127.0.0.1",
            "port": self.port,
            "identity": self.home / "client",
            "host_key": self.host_key,
        }
        return SshTarget(**(known | changes))  # type: ignore[arg-type]

    @property
    def host_key(self) -> str:
        return " ".join((self.home / "host.pub").read_text().split()[:2])

    def log(self) -> str:
        return (self.home / "log").read_text()

    def session_pids(self) -> set[int]:
        """Return the processes that serve connections, without what they run."""
        found: set[int] = set()
        parents = {self.pid}
        while parents:
            parents = {pid for pid, parent, name in _processes() if parent in parents and name.startswith("sshd")}
            found |= parents
        return found

    def cut(self, pids: set[int]) -> None:
        """Kill processes that serve connections. With one of a connection's two, the other may end by itself."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def running(home: Path, *settings: str, pool: Path | None = None) -> Iterator[Sshd]:
    """Run an sshd, with more lines of configuration. Of storage pools that are mounted it sees none but `pool`."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if os.geteuid() != 0 or program is None:
        pytest.fail("tests over SSH need root and Debian's package 'openssh-server'")
    for name in ("host", "other_host", "client", "stranger"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(home / name))
    port = _free_port()
    (home / "config").write_text(_config(home, port, settings))
    prepare = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "bash", "-c", _accounts(home, pool), "bash"]
    command = [*prepare, program, "-D", "-e", "-f", str(home / "config")]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    sshd = Sshd(home, port, server.pid)
    try:
        _wait(sshd, server)
        yield sshd
    finally:
        sshd.cut(sshd.session_pids())
        server.kill()
        server.wait()


def _config(home: Path, port: int, settings: tuple[str, ...]) -> str:
    lines = (
        *settings,
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {home}/host",
        "PidFile none",
        "AuthorizedKeysFile /run/authorized_keys",
        "StrictModes no",  # a temporary directory has parents that all may write to
        "UsePAM no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin prohibit-password",
        "MaxStartups 100",
    )
    return "".join(f"{line}\n" for line in lines)


def _accounts(home: Path, pool: Path | None) -> str:
    """Return a script that, in the namespace that it runs in, sets up accounts and /run, and runs its arguments.

    A pool that stayed mounted there would keep its loop device when it is unmounted elsewhere.
    """
    etc = home / "etc"
    etc.mkdir()
    for name in _ACCOUNTS:
        shutil.copy(f"/etc/{name}", etc / name)
    passwd = (etc / "passwd").read_text()
    (etc / "passwd").write_text(re.sub(r"^(root:.*):/root:", rf"\1:{etc}:", passwd, flags=re.MULTILINE))
    for number, user in enumerate((WITH_SUDO, WITHOUT_SUDO), 64301):
        _append(etc / "passwd", f"{user}:x:{number}:{number}::/tmp:/bin/sh")
        _append(etc / "shadow", f"{user}:*:19000:0:99999:7:::")
        _append(etc / "group", f"{user}:x:{number}:")
    (etc / "sudoers").write_text(f"{WITH_SUDO} ALL=(ALL) NOPASSWD: ALL\n")
    mounts = "\n".join(f"mount --bind {etc / name} /etc/{name}" for name in _ACCOUNTS)
    return f"""set -e
awk -v keep={pool} '$3 == "btrfs" && $2 != keep {{print $2}}' /proc/mounts | xargs --no-run-if-empty umount --lazy
{mounts}
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/sshd
install -m 644 {home / "client.pub"} /run/authorized_keys
exec "$@"
"""


def _append(file: Path, line: str) -> None:
    with file.open("a") as text:
        text.write(f"{line}\n")


def _wait(sshd: Sshd, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", sshd.port), timeout=5):
            return
        time.sleep(0.02)
    pytest.fail(f"sshd did not start: {sshd.log()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _processes() -> Iterator[tuple[int, int, str]]:
    """Yield the process id, parent and name of each process."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            head, _, tail = status.read_text().rpartition(")")
            pid, _, name = head.partition(" (")
            yield int(pid), int(tail.split()[1]), name


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
