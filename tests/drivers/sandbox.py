"""A machine of a test's own, made of namespaces: its own network, its own mounts, its own /etc and /var/tmp.

Bridges, nftables tables, routes, claims, subuid lines, sysctls of the network and mounted pools are real, and not
those of the machine that runs the tests: they are gone when the sandbox's processes end, which the kernel sees to even
when the test run is killed (PR_SET_PDEATHSIG, prctl(2)).
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from domain.hosts import Host
from drivers.shell import LocalShell, Result

_PYTHON = os.path.realpath(sys.executable)
"""The interpreter behind that of the environment, which may lie where the sandbox has mounts of its own."""

_SETUP = """
set -e
# A pool that stayed mounted here would keep its loop device when it is unmounted elsewhere.
awk '$3 == "btrfs" {print $2}' /proc/mounts | xargs --no-run-if-empty umount --lazy
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc
printf 'root:1000000:65536\\n' > /etc/subuid
printf 'root:1000000:65536\\n' > /etc/subgid
rm -rf /etc/carina
mount -t tmpfs tmpfs /var/tmp
ip link set lo up
echo up
exec sleep infinity
"""

_LISTENER = """
import socket
with socket.create_server(("0.0.0.0", 8080)) as server:
    print("up", flush=True)
    while True:
        connection, peer = server.accept()
        with connection:
            connection.sendall(f"{peer[0]}\\n".encode())
"""

_ASK = """
import socket, sys
address, port, source = sys.argv[1:]
with socket.create_connection((address, int(port)), timeout=0.7, source_address=(source, 0)) as connection:
    print(connection.recv(64).decode())
"""

_PING = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
    raw.settimeout(0.7)
    raw.sendto(bytes.fromhex("0800f7fd00010001"), (sys.argv[1], 0))
    while raw.recv(64)[20] != 0:
        pass
"""

PORT = 8080


class Sandbox:
    """A machine of a test's own. A `Shell`: scripts run inside it."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[str]] = []
        self._pid = self.keep("unshare", "--net", "--mount", "bash", "-c", _SETUP)

    def keep(self, *command: str) -> int:
        """Start a process that says `up` once and stays until the sandbox ends; return its pid."""
        process = subprocess.Popen(
            ("setpriv", "--pdeathsig", "KILL", *command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        self._processes.append(process)
        assert process.stdout
        assert process.stdout.readline() == "up\n", f"{command} did not start"
        return process.pid

    def close(self) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()
            assert process.stdout
            process.stdout.close()

    def enter(self, pid: int | None = None) -> tuple[str, ...]:
        """The command's front that runs it in the sandbox, in the network of the process `pid` if given."""
        return ("nsenter", f"--mount=/proc/{self._pid}/ns/mnt", f"--net=/proc/{pid or self._pid}/ns/net", "--")

    async def run(
        self, script: str, *, args: Sequence[str] = (), stdin: bytes = b"", timeout_s: float, what: str = "A script"
    ) -> Result:
        """See `drivers.shell.Shell.run`."""
        wrapped = 'front=("${@:3:$1}"); exec "${front[@]}" bash -c "$2" carina "${@:3+$1}"'
        front = self.enter()
        arguments = (str(len(front)), script, *front, *args)
        return await LocalShell().run(wrapped, args=arguments, stdin=stdin, timeout_s=timeout_s, what=what)

    async def bash(self, script: str, *args: str) -> str:
        return (await self.run(f"set -euo pipefail\n{script}", args=args, timeout_s=30)).text.strip()

    def shells(self, host: Host) -> "Sandbox":
        """The `Shells` under which every host is this sandbox."""
        return self

    def network(self) -> int:
        """Make a network of its own, as a node or an outside machine has, and return the pid that keeps it."""
        return self.keep("unshare", "--net", "bash", "-c", "ip link set lo up && echo up && exec sleep infinity")

    def listen(self, pid: int | None = None) -> None:
        """Listen on TCP port `PORT` of all addresses in the network of `pid`; it answers with the peer's address."""
        self.keep(*self.enter(pid), _PYTHON, "-c", _LISTENER)

    def ask(self, address: str, pid: int | None = None, *, source: str = "") -> str | None:
        """Return what the listener at `address` answers when asked from the network of `pid`, None if it does not."""
        return self._python(_ASK, address, str(PORT), source, pid=pid).stdout.strip() or None

    def pings(self, address: str, pid: int | None = None) -> bool:
        """Return whether `address` answers a ping from the network of `pid`."""
        return self._python(_PING, address, pid=pid).returncode == 0

    def _python(self, script: str, *args: str, pid: int | None) -> subprocess.CompletedProcess[str]:
        command = (*self.enter(pid), _PYTHON, "-S", "-c", script, *args)
        return subprocess.run(command, capture_output=True, text=True, check=False)


@contextmanager
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox()
    try:
        yield made
    finally:
        made.close()
