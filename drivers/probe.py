"""The scripts that gather facts of a host, as lines of a name, a tab and a value. They decide nothing.

What can be tried is tried, in a network and a mount namespace made for it: nothing that a trial makes is ever seen
outside, and all of it goes with the namespaces, however the script ends.
"""

from drivers.provision import APPARMOR_ON, HAS_MODULES

TRIALS = r"""
# $1: the directory for which idmapped mounts are tried if it lies on btrfs
try() {
  local name=$1 said
  shift
  if said=$("$@" 2>&1); then said=ok; fi
  said=${said##*$'\n'}
  printf '%s\t%s\n' "try.$name" "${said:-it said nothing}"
}
work=/tmp
overlay() {
  mkdir "$work"/{lower,upper,work,merged} &&
    mount -t overlay overlay -o "lowerdir=$work/lower,upperdir=$work/upper,workdir=$work/work" "$work/merged"
}
filesystem() {
  truncate -s 128M "$work/btrfs.img" && mkfs.btrfs --quiet "$work/btrfs.img" > /dev/null && mkdir "$work/btrfs" &&
    mount -t btrfs -o loop "$work/btrfs.img" "$work/btrfs" && btrfs subvolume create "$work/btrfs/one" > /dev/null &&
    btrfs subvolume snapshot "$work/btrfs/one" "$work/btrfs/two" > /dev/null
}
# mount(8) learnt idmapped mounts in util-linux 2.39; Debian 12 is older, but has perl, and the system calls have one
# number on all architectures: open_tree(2) 428, mount_setattr(2) 442.
idmap() {
  local holder pid
  coproc holder { exec unshare --user --map-root-user sh -c 'echo $$; read -r _'; }
  read -r pid <&"${holder[0]}" || return 1
  perl -e '
    my ($path, $pid) = @ARGV;
    open(my $users, "<", "/proc/$pid/ns/user") or die "user namespace: $!\n";
    my $tree = syscall(428, -100, "$path\0", 0x80001);
    $tree >= 0 or die "open_tree: $!\n";
    my $attributes = pack("QQQQ", 0x100000, 0, 0, fileno($users));
    my $none = "\0";
    syscall(442, $tree, $none, 0x1000, $attributes, 32) == 0 or die "mount_setattr: $!\n";
  ' "$1" "$pid"
}
bridge() {
  ip link add try-br0 type bridge && ip link add try-v0 type veth peer name try-v1 &&
    ip link set try-v0 master try-br0 && ip link set try-br0 up
}
vxlan() { ip link add try-vx0 type vxlan id 42 dstport 4789; }
firewall() {
  printf '%s\n' 'table inet try {' ' set names { type ifname . ipv4_addr; flags interval; }' \
    ' chain forward { type filter hook forward priority filter; ct state established accept; }' \
    ' chain postrouting { type nat hook postrouting priority srcnat; masquerade; }' '}' | nft -f - &&
    nft delete table inet try
}
esp() {
  ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x100 mode transport \
    aead 'rfc4106(gcm(aes))' 0x0000000000000000000000000000000000000000 128
}
# Without a place that is private the trials would leave things behind: then there are none.
mount -t tmpfs tmpfs "$work" || exit 0
try overlay overlay
try btrfs filesystem
if [ -d "$work/btrfs/one" ]; then try idmap idmap "$work/btrfs"
elif [ "$(stat -f -c %T "$1")" = btrfs ]; then try idmap idmap "$1"
fi
try userns unshare --user --map-root-user true
try bridge bridge
try vxlan vxlan
try firewall firewall
try esp esp
"""

FACTS = rf"""
# $1: the instance's root directory, $2: its prefix, $3: where claims are, $4: the trials
# On standard input: which commands and kernel settings to look for.
say() {{ printf '%s\t%s\n' "$1" "$2"; }}
of() {{ cat "$1" 2> /dev/null | tr -s ' \n\t' ' ' || true; }}
while read -r kind name; do
  case $kind in
    command) say "command.$name" "$(command -v "$name")" ;;
    sysctl) say "sysctl.$name" "$(of "/proc/sys/${{name//.//}}")" ;;
  esac
done
say uid "$(id -u)"
say kernel "$(uname -r)"
say now "$(date +%s)"
say synchronized "$(timedatectl show --property NTPSynchronized --value 2> /dev/null)"
say apt "$(command -v apt-get)"
say systemd "$([ ! -d /run/systemd/system ] || echo yes)"
say modules "$({HAS_MODULES} && echo yes)"
say apparmor "$({APPARMOR_ON} && echo yes)"
say lxc "$(lxc-start --version 2> /dev/null)"
say cgroup.type "$(stat -f -c %T /sys/fs/cgroup 2> /dev/null)"
say cgroup.v2 "$(of /sys/fs/cgroup/cgroup.controllers)"
say cgroup.v1 "$(awk '$3 == "cgroup" {{print $4}}' /proc/mounts | tr ',\n' '  ')"
if [ -e /proc/net/ip_vs ]; then say ipvs loaded
elif modprobe --dry-run --quiet ip_vs 2> /dev/null; then say ipvs loadable
else say ipvs ''
fi
below=$1
while [ ! -d "$below" ]; do below=$(dirname "$below"); done
at=$below closed=
while [ "$at" != / ]; do
  case $(stat -c %A "$at") in *[xt]) ;; *) closed=$at ;; esac
  at=$(dirname "$at")
done
say root.closed "$closed"
say root.filesystem "$(stat -f -c %T "$below")"
say root.free "$(df --block-size=1 --output=avail "$below" | tail -n 1 | tr -d ' ')"
say pool.free "$(! mountpoint -q "$1/pool" || df --block-size=1 --output=avail "$1/pool" | tail -n 1 | tr -d ' ')"
say memory.available "$(($(awk '$1 == "MemAvailable:" {{print $2}}' /proc/meminfo) * 1024))" # mawk's %d ends at 2 GiB
say subids "$(cat /etc/subuid /etc/subgid 2> /dev/null | tr '\n' ' ')"
say claimed "$([ ! -e "$3/$2.json" ] || echo yes)"
if command -v ip > /dev/null; then
  say routes "$(ip -4 -json route show table all | tr -d '\n')"
  say addresses "$(ip -4 -json address show | tr -d '\n')"
  say links "$(ip -json link show up | tr -d '\n')"
fi
if command -v nft > /dev/null && [ "$(id -u)" = 0 ]; then
  say chains "$(nft -json list chains 2> /dev/null | tr -d '\n')"
  say rules.mention "$(nft list ruleset 2> /dev/null | grep -c "\"$2-br\*\"")"
fi
# Not asked for a table that is not there, since asking would make it.
if grep -qsx filter /proc/net/ip_tables_names && command -v iptables-legacy > /dev/null; then
  say legacy.forward "$(iptables-legacy --list-rules FORWARD 2> /dev/null | tr '\n' ';')"
fi
if [ "$(id -u)" = 0 ]; then unshare --net --mount bash -c "$4" trials "$below"; fi
# A failed look is a fact that is not there, and what is made of that is decided elsewhere.
true
"""
