# Make the host's key for WireGuard where the kernel has it, or, where it is not wanted, remove what there is of it.
# Says what that changes: "key", "off" or nothing. To "tell" changes nothing.
wanted=$3 mode=$4
[[ $mode == tell ]] || lock_fabric
if [[ $wanted == on && ! -s $state/wireguard.key ]]; then
    modprobe --dry-run --quiet wireguard 2>/dev/null || [[ -d /sys/module/wireguard ]] || exit 0
    if [[ $mode == do ]]; then
        [[ -e /sys/class/net/$tunnel ]] || ip link add "$tunnel" type wireguard 2>/dev/null || exit 0
        make_tunnel_key
    fi
    echo key
elif [[ $wanted == off && (-e $state/wireguard.key || -e $state/wireguard.port) ]]; then
    if [[ $mode == do ]]; then
        drop_tunnel
        apply_table
    fi
    echo off
fi
