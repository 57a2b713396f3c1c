"""Facts of machines, as the probe writes them: a name, a tab, a value."""

from drivers.preflight import read_facts

_COMMANDS = "ip lxc-start lxcfs mkfs.btrfs mmdebstrap newuidmap nft zstd"
_SETTINGS = {
    "net.ipv4.ip_forward": 1,
    "fs.inotify.max_user_instances": 8192,
    "fs.inotify.max_user_watches": 1048576,
    "kernel.keys.maxkeys": 20000,
    "kernel.keys.maxbytes": 2000000,
}
_TRIALS = "overlay btrfs idmap simple_quota quota userns bridge vxlan firewall lxcfs container"
NOW_S = 1_795_400_302.0

_ROUTES = (
    '[{"dst":"default","gateway":"192.0.2.1","dev":"eth0","flags":[]},'
    '{"dst":"192.0.2.0/24","dev":"eth0","protocol":"kernel","scope":"link","prefsrc":"192.0.2.2","flags":[]}]'
)
_ADDRESSES = (
    '[{"ifindex":1,"ifname":"lo","mtu":65536,"addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8}]},'
    '{"ifindex":4,"ifname":"eth0","mtu":1400,"addr_info":[{"family":"inet","local":"192.0.2.2","prefixlen":24}]}]'
)
_LINKS = (
    '[{"ifindex":1,"ifname":"lo","mtu":65536},{},{"ifindex":4,"ifname":"eth0","mtu":1400},'
    '{"ifindex":5,"ifname":"slow0","mtu":1280}]'
)


def _lines(front: str, names: str, value: str) -> str:
    return "".join(f"{front}.{name}\t{value.format(name)}\n" for name in names.split())


MICRO_VM = read_facts(
    _lines("command", _COMMANDS, "/usr/bin/{}")
    + "command.apparmor_parser\t/usr/sbin/apparmor_parser\ncommand.modprobe\t\n"
    + "".join(f"sysctl.{name}\t{value} \n" for name, value in _SETTINGS.items())
    + f"""uid\t0
kernel\t6.18.44
now\t{NOW_S:.0f}
synchronized\t
apt\t/usr/bin/apt-get
systemd\t
modules\t
apparmor\t
lxc\t5.0.2
cgroup.type\ttmpfs
cgroup.v2\t
cgroup.v1\trw relatime cpu cpuset memory rw relatime devices rw relatime pids rw relatime name=systemd
ipvs\t
root.filesystem\text2/ext3
root.free\t82644500480
pool.free\t
btrfs.simple\tyes
root.total\t270553174016
memory.available\t24464100000
memory.total\t25276502016
cpus\t2
load\t0.25 0.40 0.30 2/170 23851
seccomp\tkill_process kill_thread trap errno user_notif trace log allow
trial.seccomp\t2
loop\t/dev/loop0
ssh\t
claim.network\t
subids\troot:1000000:100000000 root:1000000:100000000
claimed\t
routes\t{_ROUTES}
addresses\t{_ADDRESSES}
links\t{_LINKS}
forward.refusing\tlooked
"""
    + _lines("try", _TRIALS, "ok")
    + "try.esp\tError: Requested AEAD algorithm not found.\n"
)
"""Debian 12 in a small virtual machine: kernel without modules, cgroup v1, no systemd, IPVS, ESP or AppArmor."""

DEBIAN_13 = MICRO_VM | {
    "command.modprobe": "/usr/sbin/modprobe",
    "kernel": "6.12.48+deb13-amd64",
    "synchronized": "yes",
    "systemd": "yes",
    "modules": "yes",
    "apparmor": "yes",
    "apparmor.loads": "yes",
    "lxc": "6.0.4",
    "cgroup.type": "cgroup2fs",
    "cgroup.v2": "cpuset cpu io memory hugetlb pids rdma misc",
    "cgroup.v1": "",
    "ipvs": "loaded",
    "try.ipvs": "Operation not permitted",
    "try.esp": "ok",
}
"""Debian 13 on metal, prepared."""

FRESH_DEBIAN_13 = (
    DEBIAN_13
    | {f"command.{name}": "" for name in ("lxc-start", "lxcfs", "mkfs.btrfs", "mmdebstrap", "newuidmap", "nft", "zstd")}
    | {
        "lxc": "",
        "sysctl.net.ipv4.ip_forward": "0",
        "sysctl.kernel.keys.maxkeys": "200",
        "try.btrfs": "mkfs.btrfs: command not found",
        "try.idmap": "",
        "try.firewall": "nft: command not found",
        "try.container": "",
        "try.lxcfs": "",
        "try.simple_quota": "",
        "try.quota": "",
        "trial.seccomp": "",
        "forward.refusing": "",
    }
)
"""Debian 13 as the installer leaves it."""

BARREN = read_facts(
    f"""uid\t0
kernel\t4.19.0-27-amd64
now\t{NOW_S - 3600:.0f}
synchronized\tno
apt\t
lxc\t4.0.6
cgroup.type\ttmpfs
cgroup.v1\trw relatime cpu
root.filesystem\text2/ext3
root.free\t1000000000
memory.available\t100000000
cpus\t1
load\t9.00 9.00 9.00 2/170 23851
subids\tall:1:4000000000
"""
    + _lines("command", _COMMANDS, "/usr/bin/{}")
    + _lines("try", _TRIALS, "Operation not supported")
)
"""A machine that lacks nearly everything, and has no apt-get to get it."""
