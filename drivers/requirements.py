"""What a host needs: commands, kernel settings, kernel modules. Preflight looks at them, preparing provides them."""

from collections.abc import Mapping, Sequence

COMMANDS: Mapping[str, str] = {
    "ip": "iproute2",
    "lxc-start": "lxc",
    "lxcfs": "lxcfs",
    "mkfs.btrfs": "btrfs-progs",
    "newuidmap": "uidmap",
    "nft": "nftables",
    "zstd": "zstd",
}
"""Commands that are run on each host, and the Debian package that has them."""

COMMANDS_TO_BUILD: Mapping[str, str] = {"mmdebstrap": "mmdebstrap"}
"""What the machine needs besides that builds node images: the local host. Others are sent them."""

COMMANDS_WITH_APPARMOR: Mapping[str, str] = {"apparmor_parser": "apparmor"}
"""What a host needs besides if its kernel enforces AppArmor: LXC loads a profile for each node."""

COMMANDS_WITH_MODULES: Mapping[str, str] = {"modprobe": "kmod"}
"""What a host needs besides if its kernel has modules."""

COMMANDS_WITH_WIREGUARD: Mapping[str, str] = {"wg": "wireguard-tools"}
"""What a host needs besides if packets between hosts are to be encrypted, and its kernel can do that."""

SYSCTLS: Mapping[str, int] = {
    "net.ipv4.ip_forward": 1,
    "fs.inotify.max_user_instances": 8192,
    "fs.inotify.max_user_watches": 1048576,
    "kernel.keys.maxkeys": 20000,
    "kernel.keys.maxbytes": 2000000,
}
"""The least value of kernel settings. systemd and Docker in many nodes use up the small defaults of these."""

MODULES: Sequence[str] = (
    "overlay",
    "btrfs",
    "loop",
    "veth",
    "bridge",
    "br_netfilter",
    "vxlan",
    "nf_tables",
    "nft_chain_nat",
    "nft_compat",
    "nft_masq",
    "iptable_filter",
    "iptable_nat",
    "ip6table_nat",
    "xt_MASQUERADE",
    "xt_addrtype",
    "xt_bpf",
    "xt_comment",
    "xt_conntrack",
    "xt_mark",
    "xt_nat",
    "xt_policy",
    "xt_u32",
    "ip_vs",
    "ip_vs_rr",
    "esp4",
    "xfrm_user",
    "tun",
)
"""Kernel modules that Docker in nodes uses and can't load from inside. Those that a kernel lacks are left out."""
