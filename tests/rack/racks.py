"""Racks: bare-metal hosts that a test makes for itself and takes away.

Each rack has a directory under /var/tmp, whose lock is held as long as somebody wants it. All of it goes at the end;
what a killed run left behind (its lock is free) goes when the next rack is made.
"""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.rack import container, image, network
from tests.rack.commands import each, run
from tests.rack.container import Blueprint
from tests.rack.host import RackHost

TMP = Path("/var/tmp")
NAME = "carina-rack-"
_MAKING = "carina-rack.lock"
_SSH_PORT = 22


@dataclass(frozen=True)
class Rack:
    """Hosts that are up, and the test machine's own `address` in their network."""

    directory: Path
    address: str
    hosts: Sequence[RackHost]

    def __iter__(self) -> Iterator[RackHost]:
        return iter(self.hosts)

    def __getitem__(self, index: int) -> RackHost:
        return self.hosts[index]

    def __len__(self) -> int:
        return len(self.hosts)


@contextmanager
def rack(count: int = 3, *, without: Sequence[str] = (), purpose: str = "test") -> Iterator[Rack]:
    """Make hosts named rack1, rack2... and take them away at the end, whatever state they are in.

    `without` names Debian packages of `image.NEEDED_BY_CARINA` that the hosts shall lack. `purpose` stands in the
    rack's stamp.
    """
    assert os.geteuid() == 0, "a rack needs root"
    with ExitStack() as stack:
        disk = stack.enter_context(image.in_use())
        with (TMP / _MAKING).open("a") as others:  # a directory that nobody has locked yet is no leftover
            fcntl.flock(others, fcntl.LOCK_EX)
            sweep()
            directory = _new_directory()
            stack.callback(take_away, directory)
            lock = stack.enter_context((directory / "lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            (directory / "stamp.json").write_text(json.dumps({"pid": os.getpid(), "purpose": purpose}))
            place = network.free_network(token(directory))
            place.make()
        identity = directory / "identity"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "carina", "-f", str(identity))
        made = Rack(directory, place.gateway, [_host(directory, number + 1, disk, place) for number in range(count)])
        _start(made, without)
        yield made


def _new_directory() -> Path:
    while True:
        directory = TMP / f"{NAME}{secrets.token_hex(2)}"
        if not directory.exists():
            directory.mkdir(mode=0o711)
            return directory


def token(directory: Path) -> str:
    """Return the name that a rack's bridge, links and nftables table have, or begin with."""
    return "rk" + directory.name.removeprefix(NAME)


def _host(directory: Path, number: int, disk: Path, place: network.RackNetwork) -> RackHost:
    name = f"rack{number}"
    home = directory / "hosts" / name
    home.mkdir(parents=True)
    identity = directory / "identity"
    key = container.make(Blueprint(name, number, home, disk, place, identity))
    return RackHost(name, place.address(number), _SSH_PORT, key, identity, home, place.port(number))


def _start(made: Rack, without: Sequence[str]) -> None:
    for host in made:
        host.switch_on()
    for host in made:
        host.await_ssh()
    if without:
        removal = 'dpkg --remove --force-depends "$@" > /dev/null'
        each([host.attach("bash", "-c", removal, "carina", *without) for host in made])


def sweep() -> None:
    """Take away what runs left that ended without doing so: their locks are free."""
    for directory in TMP.glob(f"{NAME}*"):
        with (directory / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            take_away(directory)


def take_away(directory: Path) -> None:
    """Remove all that a rack has on the machine, whatever state it is in."""
    hosts = sorted((directory / "hosts").glob("*"))
    for host in hosts:
        if (host / "config").exists():
            run("lxc-stop", "-k", "-P", str(host.parent), "-n", host.name, check=False)
    network.clear(token(directory))
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((point for point in points if point.startswith(f"{directory}/")), reverse=True):
        run("umount", "--lazy", point)
    for file in directory.glob("hosts/*/carina/**/*.img"):
        for device in run("losetup", "--noheadings", "--output", "NAME", "--associated", str(file)).split():
            run("losetup", "--detach", device, check=False)
    shutil.rmtree(directory)
