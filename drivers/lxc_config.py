"""What a node's container is made of, as text and bytes: lxc.container.conf(5), its stamp and its files. Pure."""

import dataclasses
import hashlib
import io
import ipaddress
import json
import tarfile
from collections.abc import Sequence

from domain.allocation import UIDS_PER_NODE
from domain.nodes import NodeFile, NodePlan, Stamp
from drivers.apparmor import profile_text
from drivers.node_limits import limits_text

WHOLE = "whole"
"""The last entry of a node's archive."""

_SHARED = """\
lxc.include = /usr/share/lxc/config/common.conf
lxc.include = /usr/share/lxc/config/userns.conf
lxc.include = /usr/share/lxc/config/nesting.conf
lxc.mount.auto = proc:rw sys:rw cgroup:rw:force
lxc.cap.drop =
lxc.autodev = 1
lxc.pty.max = 1024
lxc.tty.max = 1
lxc.rootfs.options = idmap=container
lxc.hook.mount =
lxc.hook.post-stop =
lxc.net.0.type = veth
lxc.net.0.flags = up
lxc.net.0.name = eth0
"""
# An empty lxc.cap.drop clears the list: nested Docker needs all capabilities, of the node's own user namespace only.
# Empty hooks do so with those of Debian's lxcfs: after a stop it sleeps for half a second. Nodes with a size get the
# hook that shows it to them back on the host, where it is known whether lxcfs runs.
# Which AppArmor profile it has is added there, too.


def node_dir(plan: NodePlan) -> str:
    """Return the directory of the node's container on its host."""
    return f"{plan.host.root}/pool/nodes/{plan.container}"


def config_text(plan: NodePlan) -> str:
    """Return the container's config: an unprivileged one with a static address."""
    prefix_length = ipaddress.IPv4Network(plan.segment.cidr).prefixlen
    lines = {
        "lxc.uts.name": plan.name,
        "lxc.idmap": f"u 0 {plan.uid_base} {UIDS_PER_NODE}",
        "lxc.idmap ": f"g 0 {plan.uid_base} {UIDS_PER_NODE}",
        "lxc.rootfs.path": f"dir:{node_dir(plan)}/rootfs",
        "lxc.net.0.link": plan.segment.bridge,
        "lxc.net.0.veth.pair": plan.veth,
        "lxc.net.0.mtu": plan.segment.mtu,
        "lxc.net.0.hwaddr": plan.hardware_address,
        "lxc.net.0.ipv4.address": f"{plan.address}/{prefix_length}",
        "lxc.net.0.ipv4.gateway": plan.segment.gateway,
    }
    return _SHARED + "".join(f"{key.strip()} = {value}\n" for key, value in lines.items())


def stamp_text(stamp: Stamp) -> str:
    """Return a stamp as one line of JSON. Its beginning, up to the image, says whose the container is."""
    return json.dumps(
        {
            "instance": stamp.instance,
            "cluster_id": stamp.cluster_id,
            "node_id": stamp.node_id,
            "image": stamp.image,
        },
        separators=(",", ":"),
    )


def owner_text(stamp: Stamp) -> str:
    """Return how the stamp of any container of the same node begins, whatever image it was made from."""
    return stamp_text(dataclasses.replace(stamp, image="")).removesuffix('""}')


def parse_stamp(text: str) -> Stamp:
    """Return the stamp in `text`; one with empty fields if there is none, as in a half-made container."""
    found = json.loads(text) if text else {}
    return Stamp(*(str(found.get(field.name, "")) for field in dataclasses.fields(Stamp)))


def machine_id(node_id: str) -> str:
    """Return the machine-id(5) of a node: its own, and the same when its container is made anew."""
    return hashlib.sha256(f"carina machine-id {node_id}".encode()).hexdigest()[:32]


def archive(plan: NodePlan, files: Sequence[NodeFile]) -> bytes:
    """Return a tar of the container's directory: config, stamp, and the files that its rootfs is to have.

    `WHOLE` comes last: whoever unpacks it can't tell by tar alone whether the sender died between two files.
    """
    hosts = f"127.0.0.1 localhost\n::1 localhost ip6-localhost\n{plan.address} {plan.name}\n"
    own = (
        NodeFile("/etc/hostname", f"{plan.name}\n".encode()),
        NodeFile("/etc/hosts", hosts.encode()),
        NodeFile("/etc/machine-id", f"{machine_id(plan.stamp.node_id)}\n".encode(), 0o444),
    )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        _add(tar, "stamp.json", stamp_text(plan.stamp).encode(), 0o644)
        _add(tar, "config", config_text(plan).encode(), 0o644)
        _add(tar, "apparmor", profile_text(plan.container).encode(), 0o644)
        if limits := limits_text(plan.size):
            _add(tar, "size", limits.encode(), 0o644)
        for file in (*own, *files):
            _add(tar, f"rootfs{_checked(file.path)}", file.content, file.mode)
        _add(tar, WHOLE, b"", 0o644)
    return buffer.getvalue()


def _checked(path: str) -> str:
    if not path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"a node's file has an absolute path without '..', not {path!r}")
    return path


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    member = tarfile.TarInfo(name)  # owner and group are root unless said otherwise
    member.size = len(content)
    member.mode = mode
    tar.addfile(member, io.BytesIO(content))
