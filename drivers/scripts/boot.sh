# Bring back what the host carried before it was rebooted, with the control plane or without it: the storage pool, the
# clusters' networks, and all nodes. With "stop" as its argument: stop the nodes, as the host is going down.
# What is there already is left as it is, and a node that another call holds is left to that.
# It calls itself for each of them: "node", a container, and how long to wait until it is ready.
node_s=60 first_ready_ms=20000 stop_s=20
pool=$root/pool nodes=$root/pool/nodes
most=$(($(nproc) * 2))

say() { printf '%s\n' "$*" >&2; }

mount_pool() {
    ! mountpoint -q "$pool" || return 0
    if [[ -e $pool.img ]]; then
        mkdir -p "$pool"
        mount -t btrfs -o loop,noatime,discard=async "$pool.img" "$pool"
    elif [[ -e $state/pool ]]; then
        mount_kept
    fi
    need_pool
}

restore_networks() {
    local path bridge bridges=()
    for path in "$state"/segments/"$prefix"-br*; do
        bridge=${path##*/}
        [[ ! -e $path ]] || ! (make_bridge "$bridge") || bridges+=("$bridge")
    done
    apply_table
    open_tunnel & # where a failure of its steps is one of it
    wait $! || say "$tunnel: it is not up"
    for bridge in "${bridges[@]}"; do
        (open_bridge "$bridge") || say "$bridge: it is not up"
    done
}

start_node() { # container, how long to wait until it is ready
    local dir=$nodes/$1 veth
    take_lock "$nodes/.lock-$1"
    if [[ ! -e $dir/stamp.json || ! -e $dir/config ]]; then # removed meanwhile
        rm -f "$nodes/.lock-$1"
        return
    fi
    if ! is_running "$nodes" "$1"; then
        veth=$(sed -n 's/^lxc\.net\.0\.veth\.pair = //p' "$dir/config")
        [[ -z $veth ]] || drop_link "$veth" 2>/dev/null || true # of a killed forerunner, going anyway
        start_container "$nodes" "$1" "$dir/rootfs"
        say "$1: started"
    fi
    [[ $2 == 0 ]] || await_ready "$nodes" "$1" "$dir/rootfs" "$2"
}

start_nodes() { # how long to wait until each is ready, containers
    local wait_ms=$1 name begun=0
    for name in "${@:2}"; do
        ((begun++ < most)) || wait -n || true
        # One that hangs keeps no other from starting.
        timeout --kill-after 5 "$node_s" bash "$state/boot.sh" node "$name" "$wait_ms" ||
            say "$name: not started, or not ready yet" &
    done
    wait
}

# The first node of each cluster goes ahead: the others look for it.
start_all() {
    local dir name firsts=() others=()
    for dir in "$nodes"/*; do
        [[ -e $dir/stamp.json ]] || continue
        name=${dir##*/}
        [[ ${name%-*} == *-1 ]] && firsts+=("$name") || others+=("$name")
    done
    start_nodes "$first_ready_ms" "${firsts[@]}"
    start_nodes 0 "${others[@]}"
}

stop_all() {
    local name names
    [[ -d $nodes ]] || return 0
    mapfile -t names < <(running_containers "$nodes")
    for name in "${names[@]}"; do
        lxc-stop -P "$nodes" -n "$name" -t "$stop_s" >/dev/null 2>&1 &
    done
    wait
}

case ${1:-start} in
    start)
        node_s=${2:-$node_s}
        lock_fabric
        mount_pool
        restore_networks
        exec {fabric_lock}<&-
        start_all
        ;;
    node) start_node "$2" "$3" ;;
    stop) stop_all ;;
esac
