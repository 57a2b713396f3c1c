"""What all node images share: Debian, systemd without what a node does not need, and containerd."""

SUITE = "trixie"

PACKAGES = (
    "busybox-static",  # the probe image is made of it
    "ca-certificates",
    "containerd",
    "dbus",
    "iproute2",
    "iptables",
    "iputils-ping",
    "nftables",
    "procps",
    "runc",
    "systemd-sysv",
)

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
