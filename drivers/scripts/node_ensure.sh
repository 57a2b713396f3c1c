# Make a node's container unless it is there, start it unless it runs, and wait until its Docker Engine is ready.
# Standard input: a tar of the container's directory without what the image brings; its last entry is "whole".
root=$1 container=$2 image=$3 owner=$4 uid_base=$5 veth=$6 ready_ms=$7
pool=$root/pool nodes=$pool/nodes
dir=$nodes/$container new=$nodes/.new-$container
source=$pool/images/$image/rootfs

uids_are_claimed() { # file
    local who first count
    while IFS=: read -r who first count; do
        [[ $who != root ]] || ((uid_base < first || uid_base + 65536 > first + count)) || return 0
    done <"$1"
    return 1
}

# The resolvers that the host itself asks; one that listens on its loopback can't be reached from a node.
write_resolvers() { # file
    local file lines=
    for file in /etc/resolv.conf /run/systemd/resolve/resolv.conf; do
        lines=$(grep -E '^(nameserver|search|options)' "$file" 2>/dev/null | grep -vE '^nameserver +(127\.|::1)') || true
        [[ $lines != *nameserver* ]] || break
    done
    printf '%s\n' "$lines" >"$1"
}

make_node() {
    [[ -d $source ]] || fail $NO_IMAGE "no image $source"
    uids_are_claimed /etc/subuid && uids_are_claimed /etc/subgid || fail $NO_UIDS "uids from $uid_base are not root's"
    mkdir "$new"
    close_to_others "$new" "$uid_base"
    btrfs subvolume snapshot "$source" "$new/rootfs" >/dev/null || fail 1 "no snapshot"
    write_resolvers "$new/rootfs/etc/resolv.conf" || fail 1 "no resolv.conf"
    tar --extract --touch --numeric-owner --same-permissions --directory "$new" || fail 1 "the node's files could not be written"
    rm "$new/whole" || fail 1 "the node's files were cut off" # else their sender was killed while sending
    [[ ! -e $new/size ]] || limit_disk "$new" || fail 1 "no quota"
    touch "$new/stamp.json" # its time is the age of the node
    mv -T "$new" "$dir"
}

need_pool
mkdir -p "$nodes"
take_lock "$nodes/.lock-$container"
drop_container "$nodes" ".gone-$container"
drop_container "$nodes" ".new-$container"
if [[ -e $dir/stamp.json ]]; then
    [[ $(<"$dir/stamp.json") == "$owner"* ]] || fail $STRANGER "$dir is another's: $(<"$dir/stamp.json")"
else
    drop_container "$nodes" "$container"
    make_node
fi
if ! is_running "$nodes" "$container"; then
    [[ ! -e /sys/class/net/$veth ]] || ip link delete "$veth" 2>/dev/null || true # of a killed forerunner, going anyway
    start_container "$nodes" "$container" "$dir/rootfs"
fi
await_ready "$nodes" "$container" "$dir/rootfs" "$ready_ms"
