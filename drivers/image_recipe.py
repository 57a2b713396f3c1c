"""What node images are made of: a base that all share, and on it a layer for each kind of cluster.

Their digests name them: a change of anything that decides what an image will be makes another image.
"""

import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable

from drivers import image_recipe_base as base

PROBE_IMAGE = "carina/probe:1"
"""The container image that every node has from its start: busybox, with its applets as commands."""

_SHARED = ("common", "btrfs_quota", "node_limits", "node_profile")
"""What is put in front of every script for hosts."""

_UNITS = "etc/systemd/system"


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of an image: Debian's packages, then the files of `image_root/<name>` and links over them.

    `scripts` are those that have the commands that make it, in turn.
    """

    name: str
    packages: Sequence[str]
    scripts: Sequence[str]
    links: Mapping[str, str] = field(default_factory=dict)
    empty: Sequence[str] = ()
    """Paths of empty files."""

    def digest(self, *others: str) -> str:
        """Return the digest of the layer and of `others`, such as the digest of the layer below."""
        build = "".join(part(name) for name in self.scripts)
        parts = (base.SUITE, *self.packages, PROBE_IMAGE, *base.EXCLUDED, build, *others)
        recipe = hashlib.sha256("\0".join(parts).encode())
        recipe.update(self.overlay())
        return recipe.hexdigest()

    def overlay(self) -> bytes:
        """Return a tar of what stands in the image over what the packages bring. The same bytes each time."""
        contents = dict(_files(files("drivers") / "image_root" / self.name, ""))
        contents.update(dict.fromkeys(self.empty, b""))
        return archive(contents, self.links)


BASE = Layer(
    "base",
    base.PACKAGES,
    ("image_base",),
    {
        **{f"{_UNITS}/{unit}": "/dev/null" for unit in base.MASKED},
        **{f"etc/systemd/system-generators/{name}": "/dev/null" for name in base.MASKED_GENERATORS},
        f"{_UNITS}/default.target": "/usr/lib/systemd/system/multi-user.target",
    },
    ("etc/machine-id", "etc/.updated", "var/.updated"),  # *.updated: ConditionNeedsUpdate= of systemd.unit(5)
)

SWARM = Layer(
    "swarm",
    ("docker-cli", "docker.io"),
    ("image_kind", "image_swarm"),
    {
        f"{_UNITS}/docker.socket": "/dev/null",  # Docker is started by itself, not by its first client
        f"{_UNITS}/multi-user.target.wants/carina-journal.service": "../carina-journal.service",
        f"{_UNITS}/sysinit.target.wants/docker.service": "../docker.service",
    },
)

_EARLY = (
    "carina-api",
    "containerd",
    "coredns",
    "etcd",
    "flannel",
    "k8s-addons",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubelet",
)
_LATE = ("carina-journal", "local-path-provisioner", "metrics-server")

KUBERNETES = Layer(
    "kubernetes",
    ("catatonit", "containernetworking-plugins", "etcd-server", "mount", "openssl"),
    ("image_kind", "image_kubernetes"),
    {
        **{f"{_UNITS}/sysinit.target.wants/{unit}.service": f"../{unit}.service" for unit in _EARLY},
        **{f"{_UNITS}/multi-user.target.wants/{unit}.service": f"../{unit}.service" for unit in _LATE},
    },
)


def script(name: str) -> str:
    """Return the text of one of the bash scripts that run on hosts, with what they share before it."""
    return "".join(part(name) for name in (*_SHARED, name))


def image_script(kind: Layer) -> str:
    """Return the text of the script that makes an image with the layer `kind` on the base."""
    return "".join(part(name) for name in (*_SHARED, "image_cache", *BASE.scripts, *kind.scripts, "image_ensure"))


def archive(contents: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    """Return a tar of files and symbolic links, by path. The same bytes each time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, content in sorted(contents.items()):
            member = tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for path, target in sorted((links or {}).items()):
            member = tarfile.TarInfo(path)
            member.type = tarfile.SYMTYPE
            member.linkname = target
            tar.addfile(member)
    return buffer.getvalue()


def part(name: str) -> str:
    """Return the text of a file of bash that is part of scripts for hosts."""
    return (files("drivers") / "scripts" / f"{name}.sh").read_text()


def _files(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _files(entry, f"{path}/")
        else:
            yield path, entry.read_bytes()
