# Make the host's key for WireGuard where the kernel has it, or, where it is not wanted, remove what there is of it.
# Says what that changes: "key", "off" or nothing. To "tell" changes nothing.
wanted=$3 mode=$4
if [[ $wanted == on && ! -s $state/wireguard.key ]]; then
    modprobe --dry-run --quiet wireguard 2>/dev/null || [[ -d /sys/module/wireguard ]] || exit 0
    echo key
    [[ $mode == do ]] || exit 0
    lock_fabric
    make_tunnel_key
elif [[ $wanted == off && -s $state/wireguard.key ]]; then
    echo off
    [[ $mode == do ]] || exit 0
    lock_fabric
    drop_tunnel
    apply_table
fi
