# Keep which hosts have WireGuard too, as standard input says, and send clusters' packets to them through it.
mapfile -t lines
[[ -s $state/wireguard.key ]] || fail 1 "the host has no key for WireGuard: prepare it again"
lock_fabric
keep wireguard "$(printf '%s\n' "${lines[@]}")"
open_tunnel
apply_table
