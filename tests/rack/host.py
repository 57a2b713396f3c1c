"""One host of a rack: a privileged LXC container that stands for a bare-metal machine."""

import shutil
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.rack.commands import run
from tests.rack.container import PLACES
from tests.rack.traces import LOOK

BOOT_TIMEOUT_S = 60.0
_POLL_S = 0.02


@dataclass(frozen=True)
class RackHost:
    """A machine with sshd. root, and `operator` who may use sudo, log in with the key `identity`.

    `host_key` is its public key as `type base64`. `place` is the directory of its container on the test machine;
    `cable` the test machine's end of the link to it.
    """

    name: str
    address: str
    port: int
    host_key: str
    identity: Path
    place: Path
    cable: str

    def attach(self, *command: str) -> Sequence[str]:
        """Return the command line that runs a command as root on the host, beside SSH and its network."""
        return ("lxc-attach", "-P", str(self.place.parent), "-n", self.place.name, "--clear-env", "--", *command)

    def run(self, script: str, *args: str, check: bool = True, timeout_s: float = 60) -> str:
        """Run a bash script as root on the host, beside SSH and its network, and return what it printed."""

        return run(*self.attach("bash", "-c", script, "carina", *args), check=check, timeout_s=timeout_s)

    def power_on(self) -> None:
        """Switch it on, and return when its sshd answers."""
        self.switch_on()
        self.await_ssh()

    def switch_on(self) -> None:
        """Switch it on, and return while it boots."""
        run(
            "lxc-start",
            "-P",
            str(self.place.parent),
            "-n",
            self.place.name,
            "-l",
            "WARN",
            "-o",
            str(self.place / "log"),
        )

    def power_off(self) -> None:
        """Pull the plug. Nothing on it gets a last word; off already is as well."""
        if self.is_on:
            run("lxc-stop", "-k", "-P", str(self.place.parent), "-n", self.place.name)

    def reboot(self) -> None:
        """Shut it down as `systemctl reboot` does, and return when its sshd answers again."""
        run("lxc-stop", "-P", str(self.place.parent), "-n", self.place.name, "-t", "30")
        self.power_on()

    def cut(self) -> None:
        """Pull its network cable."""
        run("ip", "link", "set", self.cable, "down")

    def mend(self) -> None:
        """Plug the cable in again."""
        run("ip", "link", "set", self.cable, "up")

    @property
    def is_on(self) -> bool:
        """Whether it runs."""
        return run("lxc-info", "-P", str(self.place.parent), "-n", self.place.name, "-s", "-H").strip() != "STOPPED"

    @property
    def init(self) -> int:
        """The process id, on the test machine, of its init; it has to be on."""
        return int(run("lxc-info", "-P", str(self.place.parent), "-n", self.place.name, "-p", "-H"))

    @property
    def disk(self) -> Path:
        """Its file system with all that is mounted there, as the test machine can read it; it has to be on."""
        return Path(f"/proc/{self.init}/root")

    @property
    def answers(self) -> bool:
        """Whether its sshd greets who connects from the test machine."""
        try:
            with socket.create_connection((self.address, self.port), timeout=0.5) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def await_ssh(self) -> None:
        """Return when its sshd answers."""
        deadline = time.monotonic() + BOOT_TIMEOUT_S
        while not self.answers:
            assert time.monotonic() < deadline, (
                f"{self.name} has no sshd after {BOOT_TIMEOUT_S:g} s; see {self.place}/log"
            )
            time.sleep(_POLL_S)

    def traces(self) -> dict[str, list[str]]:
        """Return what Carina has on the host, by kind: see `tests.rack.traces`. It has to be on."""
        found: dict[str, list[str]] = {}
        for line in self.run(LOOK).splitlines():
            kind, _, what = line.partition(" ")
            found.setdefault(kind, []).append(what)
        return found

    def leftovers(self) -> list[str]:
        """Return all that Carina has on the host, in words. It has to be on."""
        return [f"{self.name}: {kind} {what}" for kind, found in self.traces().items() for what in found]

    def replace(self) -> None:
        """Put new, empty disks in, as if another machine had been bought; it stays off. Its key stays the same."""
        self.power_off()
        for place in PLACES:
            shutil.rmtree(self.place / place)
            (self.place / place).mkdir()
