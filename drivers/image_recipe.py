"""What a node image is made of. Its digest names it: a change of anything here makes another image."""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

SUITE = "trixie"

PACKAGES = (
    "busybox-static",  # the probe image is made of it
    "ca-certificates",
    "dbus",
    "docker-cli",
    "docker.io",
    "iproute2",
    "iptables",
    "iputils-ping",
    "procps",
    "systemd-sysv",
)

PROBE_IMAGE = "carina/probe:1"
"""The container image that every node has from its start: busybox, with its applets as commands."""

EXCLUDED = ("bug", "doc", "info", "lintian", "locale", "man")
"""Folders of /usr/share that a node does without."""

MASKED = (
    # Set up hardware, boot loaders, swap and the kernel: the host's business.
    "dev-hugepages.mount",
    "kmod-static-nodes.service",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-binfmt.service",
    "systemd-hibernate-clear.service",
    "systemd-modules-load.service",
    "systemd-pcrextend.socket",
    "systemd-pcrlock.socket",
    "systemd-pcrmachine.service",
    "systemd-pcrphase-sysinit.service",
    "systemd-pcrphase.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-tmpfiles-setup-dev-early.service",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-tpm2-setup-early.service",
    "systemd-tpm2-setup.service",
    # First-boot work, done when the image is made.
    "ldconfig.service",
    "systemd-firstboot.service",
    "systemd-journal-catalog-update.service",
    "systemd-machine-id-commit.service",
    "systemd-sysusers.service",
    "systemd-update-done.service",
    # Mounts and networks that LXC has set up already.
    "dev-mqueue.mount",
    "remote-fs.target",
    "run-lock.mount",
    "systemd-networkd.service",
    "systemd-remount-fs.service",
    "tmp.mount",
    # Done later, by carina-journal.service.
    "systemd-journal-flush.service",
    # Log-ins: a node is reached through its API.
    "getty-static.service",
    "getty.target",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-creds.socket",
    "systemd-hostnamed.socket",
    "systemd-initctl.socket",
    "systemd-logind.service",
    "systemd-sysext.socket",
    "systemd-user-sessions.service",
    # Chores of machines that live for years.
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dpkg-db-backup.timer",
    "fstrim.timer",
    # Docker is started by itself, not by its first client.
    "docker.socket",
)

MASKED_GENERATORS = (
    "systemd-debug-generator",
    "systemd-fstab-generator",
    "systemd-getty-generator",
    "systemd-gpt-auto-generator",
    "systemd-hibernate-resume-generator",
    "systemd-rc-local-generator",
    "systemd-run-generator",
    "systemd-ssh-generator",
    "systemd-system-update-generator",
    "systemd-sysv-generator",
    "systemd-tpm2-generator",
)

_UNITS = "etc/systemd/system"
_LINKS = {
    **{f"{_UNITS}/{unit}": "/dev/null" for unit in MASKED},
    **{f"etc/systemd/system-generators/{name}": "/dev/null" for name in MASKED_GENERATORS},
    f"{_UNITS}/default.target": "/usr/lib/systemd/system/multi-user.target",
    f"{_UNITS}/multi-user.target.wants/carina-journal.service": "../carina-journal.service",
    f"{_UNITS}/sysinit.target.wants/docker.service": "../docker.service",
}
_EMPTY = ("etc/machine-id", "etc/.updated", "var/.updated")  # *.updated: ConditionNeedsUpdate= of systemd.unit(5)


def script(name: str) -> str:
    """Return the text of one of the bash scripts that run on hosts, with what they share before it."""
    folder = files("drivers") / "scripts"
    return "".join((folder / part).read_text() for part in ("common.sh", f"{name}.sh"))


def digest() -> str:
    """Return the digest of the recipe: of all that decides what an image will be."""
    build = (files("drivers") / "scripts" / "image_ensure.sh").read_text()
    parts = (SUITE, *PACKAGES, PROBE_IMAGE, *EXCLUDED, build)
    recipe = hashlib.sha256("\0".join(parts).encode())
    recipe.update(overlay())
    return recipe.hexdigest()


def overlay() -> bytes:
    """Return a tar of what stands in the image over what the packages bring. The same bytes each time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, content in sorted(_files(files("drivers") / "image_root", "")):
            member = tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for path in _EMPTY:
            tar.addfile(tarfile.TarInfo(path))
        for path, target in sorted(_LINKS.items()):
            member = tarfile.TarInfo(path)
            member.type = tarfile.SYMTYPE
            member.linkname = target
            tar.addfile(member)
    return buffer.getvalue()


def _files(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _files(entry, f"{path}/")
        else:
            yield path, entry.read_bytes()
