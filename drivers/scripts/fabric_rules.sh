# Make the table anew if it has gone while there are bridges, and the way into the tunnel, and say so.
compgen -G "/sys/class/net/$prefix-br*" >/dev/null || exit 0
if ! nft list table inet "$table" >/dev/null 2>&1; then
    lock_fabric
    apply_table
    echo made
fi
if ! tunnel_stands; then
    [[ -n ${fabric_lock:-} ]] || lock_fabric
    open_tunnel
    echo made
fi
