#!/bin/bash
# The measure for Carina: what a good engineer would write by hand for the same cluster, by the shortest way.
#
#   shortest.sh create POOL IMAGE BRIDGE SUBNET UID_BASE COUNT   SUBNET is such as 10.64.250, for 10.64.250.0/24
#   shortest.sh answer LXCPATH WEB ASKER                         a container on one node is asked from another
#   shortest.sh remove POOL BRIDGE
#
# It has Carina's image and kernel features, makes all nodes at once, lets none wait for what it does not need, and
# polls as tightly as Carina does. It does without certificates (Docker listens on its unix socket only), records,
# locks, checks of what is there, and undo. Lines "mark NAME MICROSECONDS" tell when a stage was reached.
set -euo pipefail
export LC_ALL=C

exec {never}<> <(:)
wait_a_little() { read -r -t 0.01 -u "$never" || true; }
mark() { printf 'mark %s %s\n' "$1" "${EPOCHREALTIME/./}"; }
inside() { lxc-attach -P "$nodes" -n "$1" --clear-env -- "${@:2}" </dev/null; }
await_file() { until [[ -e $1 ]]; do wait_a_little; done; }

make_node() { # number
    local name=node-$1 dir=$nodes/node-$1 address=$subnet.$((9 + $1)) uids=$((uid_base + 65536 * ($1 - 1)))
    local apparmor=$'lxc.apparmor.profile = unconfined\n'
    [[ ! -e /sys/kernel/security/apparmor ]] || apparmor=$'lxc.apparmor.profile = generated\nlxc.apparmor.allow_nesting = 1\n'
    mkdir -m 0711 "$dir"
    btrfs subvolume snapshot "$image" "$dir/rootfs" >/dev/null
    echo "$name" >"$dir/rootfs/etc/hostname"
    printf '127.0.0.1 localhost\n%s %s\n' "$address" "$name" >"$dir/rootfs/etc/hosts"
    printf '%032x\n' "$1" >"$dir/rootfs/etc/machine-id"
    cp /etc/resolv.conf "$dir/rootfs/etc/resolv.conf"
    mkdir -p "$dir/rootfs/etc/docker"
    echo '{"storage-driver": "overlay2"}' >"$dir/rootfs/etc/docker/daemon.json"
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
    await_file "$dir/rootfs/var/lib/carina/ready"
    mark ready
}

manager() {
    make_node 1
    inside node-1 /bin/sh -euc '
        docker swarm init --advertise-addr "$1" >/dev/null
        docker swarm join-token --quiet worker >/token.new
        mv /token.new /token
    ' init "$subnet.10"
    mark formed
    inside node-1 docker network create --driver overlay --attachable carina >/dev/null
    mark overlay
}

worker() { # number
    make_node "$1"
    await_file "$nodes/node-1/rootfs/token"
    inside "node-$1" docker swarm join --token "$(<"$nodes/node-1/rootfs/token")" "$subnet.10:2377" >/dev/null
    mark joined
}

answer() { # web's node, asker's node
    inside "$1" docker run --detach --name web --network carina carina/probe:1 \
        sh -c 'echo it works >/tmp/index.html && exec httpd -f -p 80 -h /tmp' >/dev/null
    mark web
    inside "$2" docker run --rm --network carina --dns 127.0.0.1 carina/probe:1 \
        timeout 20 sh -c 'until wget -q -T 1 -O - http://web/; do usleep 20000; done' 2>/dev/null
    mark answered
}

case $1 in
create)
    nodes=$2/bench image=$3 bridge=$4 subnet=$5 uid_base=$6 count=$7
    mkdir "$nodes"
    ip link add "$bridge" type bridge
    ip address add "$subnet.1/24" dev "$bridge"
    ip link set "$bridge" up
    mark bridge
    manager &
    parts=($!)
    for ((number = 2; number <= count; number++)); do
        worker "$number" &
        parts+=($!)
    done
    for part in "${parts[@]}"; do
        wait "$part"
    done
    answer "node-$((count > 1 ? 2 : 1))" "node-$count"
    ;;
answer)
    nodes=$2
    answer "$3" "$4"
    ;;
remove)
    nodes=$2/bench bridge=$3
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
    ;;
esac
