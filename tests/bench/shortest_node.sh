# What the shortest scripts share: a node of theirs, made by the shortest way with Carina's image and kernel features.
# Lines "mark NAME MICROSECONDS" tell when a stage was reached.
set -Eeuo pipefail
export LC_ALL=C
trap 'printf "%s: line %s failed: %s\n" "${BASH_SOURCE[0]}" "$LINENO" "$BASH_COMMAND" >&2' ERR

exec {never}<> <(:)
wait_a_little() { read -r -t 0.01 -u "$never" || true; }
mark() { printf 'mark %s %s\n' "$1" "${EPOCHREALTIME/./}"; }
inside() { lxc-attach -P "$nodes" -n "$1" --clear-env -- "${@:2}" </dev/null; }
await_file() { until [[ -e $1 ]]; do wait_a_little; done; }

make_bridge() {
    ip link add "$bridge" type bridge
    ip address add "$subnet.1/24" dev "$bridge"
    ip link set "$bridge" up
    mark bridge
}

# Start a node. The caller's `furnish` puts more files into its root before.
start_node() { # number
    local name=node-$1 dir=$nodes/node-$1 address=$subnet.$((9 + $1)) uids=$((uid_base + 65536 * ($1 - 1)))
    local apparmor=$'lxc.apparmor.profile = unconfined\n'
    [[ ! -e /sys/kernel/security/apparmor ]] || apparmor=$'lxc.apparmor.profile = generated\nlxc.apparmor.allow_nesting = 1\n'
    mkdir -m 0711 "$dir"
    btrfs subvolume snapshot "$image" "$dir/rootfs" >/dev/null
    echo "$name" >"$dir/rootfs/etc/hostname"
    printf '127.0.0.1 localhost\n%s %s\n' "$address" "$name" >"$dir/rootfs/etc/hosts"
    printf '%032x\n' "$1" >"$dir/rootfs/etc/machine-id"
    cp /etc/resolv.conf "$dir/rootfs/etc/resolv.conf"
    furnish "$1" "$dir/rootfs"
    cat >"$dir/config" <<CONFIG
lxc.include = /usr/share/lxc/config/common.conf
lxc.include = /usr/share/lxc/config/userns.conf
lxc.include = /usr/share/lxc/config/nesting.conf
lxc.mount.auto = proc:rw sys:rw cgroup:rw:force
lxc.cap.drop =
lxc.autodev = 1
lxc.pty.max = 1024
lxc.tty.max = 1
lxc.hook.post-stop =
lxc.rootfs.path = dir:$dir/rootfs
lxc.rootfs.options = idmap=container
lxc.uts.name = $name
lxc.idmap = u 0 $uids 65536
lxc.idmap = g 0 $uids 65536
lxc.net.0.type = veth
lxc.net.0.flags = up
lxc.net.0.name = eth0
lxc.net.0.link = $bridge
lxc.net.0.ipv4.address = $address/24
lxc.net.0.ipv4.gateway = $subnet.1
$apparmor
CONFIG
    lxc-start -P "$nodes" -n "$name" -d -o "$dir/log" -l ERROR </dev/null >/dev/null 2>&1
    mark started
}

remove_all() {
    shopt -s nullglob
    for dir in "$nodes"/*; do
        (
            lxc-stop --kill -P "$nodes" -n "${dir##*/}" >/dev/null 2>&1 || true
            btrfs subvolume delete "$dir/rootfs" >/dev/null
            rm -r "$dir"
        ) &
    done
    wait
    [[ ! -d $nodes ]] || rmdir "$nodes"
    [[ ! -e /sys/class/net/$bridge ]] || ip link delete "$bridge"
}
