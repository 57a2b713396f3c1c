"""How a host of a rack is made of an LXC container: its config, its devices and its disk."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.rack.commands import run
from tests.rack.image import OPERATOR
from tests.rack.network import MTU, RackNetwork

LOOPS = 256
PLACES = ("carina", "cache")
"""Directories of the test machine that stand in for the host's own file system where images and pools lie."""

_OPERATOR_UID = 1000
_OPERATOR_GID = 37  # that of Debian's group of the name
_KEY = "etc/ssh/ssh_host_ed25519_key"

_DEVICES = f"""#!/bin/bash
# Makes the devices that a bare-metal machine has, in the container's own /dev.
set -euo pipefail
cd "$LXC_ROOTFS_MOUNT/dev"
mknod -m 0660 loop-control c 10 237
for n in {{0..{LOOPS - 1}}}; do echo "loop$n b 7 $n"; done | xargs --max-args=4 mknod -m 0660
mknod -m 0666 fuse c 10 229
mknod -m 0660 btrfs-control c 10 234
mkdir -p net
mknod -m 0666 net/tun c 10 200
"""


@dataclass(frozen=True)
class Blueprint:
    """What a host is to be. `place` is an existing directory that is its own; `disk` the image that it boots from."""

    name: str
    number: int
    place: Path
    disk: Path
    network: RackNetwork
    identity: Path

    @property
    def upper(self) -> Path:
        """What the host's disk has over the image."""
        return self.place / "delta"


def make(blueprint: Blueprint) -> str:
    """Make the container, which does not run yet; return its public host key as `type base64`."""
    for name in PLACES:
        (blueprint.place / name).mkdir()
    devices = blueprint.place / "devices"
    devices.write_text(_DEVICES)
    devices.chmod(0o755)
    (blueprint.place / "config").write_text(_config(blueprint))
    return _furnish(blueprint)


def _config(host: Blueprint) -> str:
    network = host.network
    return f"""\
lxc.include = /usr/share/lxc/config/common.conf
lxc.include = /usr/share/lxc/config/nesting.conf
lxc.mount.auto =
lxc.mount.auto = proc:rw sys:rw cgroup:rw:force
lxc.mount.entry = {host.place}/carina var/lib/carina none bind,create=dir 0 0
lxc.mount.entry = {host.place}/cache var/cache/carina none bind,create=dir 0 0
lxc.apparmor.profile = unconfined
lxc.seccomp.profile =
lxc.cap.drop =
lxc.cgroup.devices.allow = a
lxc.cgroup2.devices.allow = a
lxc.autodev = 1
lxc.hook.autodev = {host.place}/devices
lxc.pty.max = 1024
lxc.tty.max = 0
lxc.uts.name = {host.name}
lxc.rootfs.path = overlay:{host.disk}:{host.upper}
lxc.net.0.type = veth
lxc.net.0.flags = up
lxc.net.0.name = eth0
lxc.net.0.link = {network.bridge}
lxc.net.0.veth.pair = {network.port(host.number)}
lxc.net.0.mtu = {MTU}
lxc.net.0.hwaddr = {network.hardware_address(host.number)}
lxc.net.0.ipv4.address = {network.address(host.number)}/{network.subnet.prefixlen}
lxc.net.0.ipv4.gateway = {network.gateway}
"""


def _furnish(host: Blueprint) -> str:
    """Write what is the host's own on its disk: name, keys, who may log in."""
    key = host.place / "host_key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host.name, "-f", str(key))
    _install(host, _KEY, key.read_text(), 0o600)
    _install(host, "etc/hostname", f"{host.name}\n")
    _install(host, "etc/hosts", f"127.0.0.1 localhost\n{host.network.address(host.number)} {host.name}\n")
    _install(host, "etc/resolv.conf", Path("/etc/resolv.conf").read_text())
    allowed = host.identity.with_suffix(".pub").read_text()
    _install(host, "root/.ssh/authorized_keys", allowed, 0o600)
    _install(host, f"home/{OPERATOR}/.ssh/authorized_keys", allowed, 0o600)
    home = host.upper / "home" / OPERATOR
    for path in (home, *home.rglob("*")):
        shutil.chown(path, _OPERATOR_UID, _OPERATOR_GID)
    for directory in (host.upper / "root", home / ".ssh", host.upper / "root" / ".ssh"):
        directory.chmod(0o700)
    return " ".join(key.with_suffix(".pub").read_text().split()[:2])


def _install(host: Blueprint, path: str, content: str, mode: int = 0o644) -> None:
    target = host.upper / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content)
    target.chmod(mode)
