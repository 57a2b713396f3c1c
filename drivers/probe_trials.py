"""The script that tries what a host has to be able to do, and writes what came of it, as the probe does its facts.

It runs in a network and a mount namespace made for it: nothing that a trial makes is ever seen outside, and all of it
goes with the namespaces, however the script ends.
"""

from drivers.image_recipe import part

_CONTAINER = r"""
# An unprivileged container like a node's, and in it what its engine does to start one: an overlay as root, control
# groups, namespaces with a /proc of their own.
container_inside='#!/bin/sh
set -e
exec > /said 2>&1
grep ^Seccomp: /proc/self/status
mount -t tmpfs tmpfs /tmp
cd /tmp
mkdir lower upper work merged
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
for group in $(awk "\$3 ~ /^cgroup/ {print \$2}" /proc/self/mounts); do
  mkdir "$group/inner"
  rmdir "$group/inner"
done
unshare --mount --pid --net --uts --ipc --fork --mount-proc true
echo done
'
container() {
  local dir=$work/containers name=carina-trial-$$ root uid=4200000000 said top
  local config=$dir/$name/config
  root=$dir/$name/rootfs
  mkdir -p "$root"/{usr,proc,sys,dev,etc,tmp} || return
  printf 'root:%s:65536\n' "$uid" > "$dir/subid"
  for said in /etc/subuid /etc/subgid; do
    [ ! -e "$said" ] || mount --bind "$dir/subid" "$said" || return
  done
  printf '%s' "$container_inside" > "$root/inside"
  : > "$root/said"
  chown "$uid" "$root/said"
  chmod 0755 "$root/inside"
  printf 'lxc.include = /usr/share/lxc/config/%s.conf\n' common userns nesting > "$config"
  printf '%s\n' 'lxc.mount.auto = proc:rw sys:rw cgroup:rw:force' 'lxc.apparmor.profile = unconfined' \
    'lxc.cap.drop =' 'lxc.autodev = 1' 'lxc.hook.mount =' 'lxc.hook.post-stop =' 'lxc.net.0.type = empty' \
    "lxc.idmap = u 0 $uid 65536" "lxc.idmap = g 0 $uid 65536" "lxc.rootfs.path = dir:$root" \
    'lxc.init.cmd = /inside' 'lxc.mount.entry = /usr usr none ro,bind 0 0' >> "$config"
  for top in bin sbin lib lib64; do
    if [ -L "/$top" ]; then cp -P "/$top" "$root/$top"
    elif [ -d "/$top" ]; then
      mkdir "$root/$top"
      echo "lxc.mount.entry = /$top $top none ro,bind 0 0" >> "$config"
    fi
  done
  chmod -R go+rX "$dir"
  # One that hangs is ended, and its first process with it (PR_SET_PDEATHSIG, which LXC sets).
  timeout --kill-after 1 8 lxc-start -P "$dir" -n "$name" -F -o "$dir/log" -l ERROR < /dev/null > /dev/null 2>&1
  # LXC leaves control groups of its monitor behind now and then.
  rmdir /sys/fs/cgroup/{,*/}lxc.{payload,monitor}."$name" 2> /dev/null
  printf 'trial.seccomp\t%s\n' "$(awk '$1 == "Seccomp:" {print $2}' "$root/said")" >&3
  said=$(tail -n 1 "$root/said")
  [ "$said" != done ] || return 0
  tail -n 1 "$dir/log" 2> /dev/null
  [ -z "$said" ] || echo "$said"
  return 1
}
"""

_LXCFS = r"""
lxcfs_view() {
  local pid
  mkdir "$work/lxcfs" || return
  setpriv --pdeathsig KILL lxcfs -f -p "$work/lxcfs.pid" "$work/lxcfs" > "$work/lxcfs.log" 2>&1 &
  pid=$!
  for _ in {1..200}; do
    [ ! -s "$work/lxcfs/proc/meminfo" ] && kill -0 "$pid" 2> /dev/null || break
    read -r -t 0.01 -u "$never"
  done
  if grep -q ^MemTotal: "$work/lxcfs/proc/meminfo"; then kill "$pid"; return 0; fi
  kill "$pid" 2> /dev/null
  cat "$work/lxcfs.log"
  return 1
}
"""

_DISKS = rf"""
{part("btrfs_quota")}
filesystem() {{
  truncate -s 128M "$work/btrfs.img" && mkfs.btrfs --quiet "$work/btrfs.img" > /dev/null && mkdir "$work/btrfs" &&
    mount -t btrfs -o loop "$work/btrfs.img" "$work/btrfs" && btrfs subvolume create "$work/btrfs/one" > /dev/null &&
    btrfs subvolume snapshot "$work/btrfs/one" "$work/btrfs/two" > /dev/null
}}
simple_quota() {{ switch_quota "$work/btrfs" simple; }}
full_quota() {{ switch_quota "$work/btrfs" full; }}
"""

TRIALS = (
    r"""
# $1: the directory for which idmapped mounts are tried if it lies on btrfs
try() {
  local name=$1 said
  shift
  if said=$("$@" 2>&1); then said=ok; fi
  said=${said##*$'\n'}
  printf '%s\t%s\n' "try.$name" "${said:-it said nothing}"
}
work=/tmp
exec 3>&1 {never}<> <(:)
overlay() {
  mkdir "$work"/{lower,upper,work,merged} &&
    mount -t overlay overlay -o "lowerdir=$work/lower,upperdir=$work/upper,workdir=$work/work" "$work/merged"
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
wireguard() { ip link add try-wg0 type wireguard; }
firewall() {
  printf '%s\n' 'table inet try {' ' set names { type ifname . ipv4_addr; flags interval; }' \
    ' chain forward { type filter hook forward priority filter; ct state established accept; }' \
    ' chain postrouting { type nat hook postrouting priority srcnat; masquerade; }' '}' | nft -f - &&
    nft delete table inet try
}
# Whether a node may set up virtual servers: its engine asks the kernel by generic netlink, from the node's own user
# namespace. The numbers are those of linux/netlink.h, genetlink.h and ip_vs.h: the family's id, then IPVS_CMD_GET_INFO.
ipvs() {
  unshare --user --map-root-user --net perl -e '
    sub ask {
      my ($type, $command, $attributes) = @_;
      my $message = pack("SSLLCCS", $type, 1, 1, 0, $command, 1, 0) . $attributes;
      syswrite($netlink, pack("L", 4 + length $message) . $message) or die "sending: $!\n";
      sysread($netlink, my $answer, 65536) or die "receiving: $!\n";
      my ($kind, $error) = unpack("x4 S x10 l", $answer);
      if ($kind == 2) { $! = -$error; die "$!\n"; }
      return substr($answer, 20);
    }
    socket($netlink, 16, 3, 16) or die "socket: $!\n";
    my $rest = ask(16, 3, pack("SSa8", 9, 2, "IPVS"));
    my $family;
    while (length $rest) {
      my ($length, $kind, $value) = unpack("SSS", $rest);
      $family = $value if $kind == 1;
      $rest = substr($rest, ($length + 3) & ~3);
    }
    ask($family, 15, "");
  '
}
esp() {
  ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x100 mode transport \
    aead 'rfc4106(gcm(aes))' 0x0000000000000000000000000000000000000000 128
}
"""
    + _DISKS
    + _CONTAINER
    + _LXCFS
    + r"""
# Without places that are private the trials would leave things behind: then there are none. LXC and lxcfs use /run.
mount -t tmpfs -o mode=0755 tmpfs "$work" && mount -t tmpfs -o mode=0755 tmpfs /run || exit 0
if command -v lxc-start > /dev/null; then try container container > "$work/container.said" & fi
try overlay overlay
try btrfs filesystem
if [ -d "$work/btrfs/one" ]; then try idmap idmap "$work/btrfs"
elif [ "$(stat -f -c %T "$1")" = btrfs ]; then try idmap idmap "$1"
fi
if [ -d "$work/btrfs/one" ]; then
  try simple_quota simple_quota
  try quota full_quota
fi
try userns unshare --user --map-root-user true
try bridge bridge
try vxlan vxlan
try wireguard wireguard
try firewall firewall
try esp esp
try ipvs ipvs
if command -v lxcfs > /dev/null; then try lxcfs lxcfs_view; fi
wait
cat "$work/container.said" 2> /dev/null
"""
)
