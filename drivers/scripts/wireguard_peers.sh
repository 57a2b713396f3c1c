# Keep which hosts have WireGuard too, as standard input says, and send clusters' packets to them through it.
mapfile -t lines
lock_fabric
[[ -s $state/wireguard.key ]] || fail 1 "the host has no key for WireGuard: prepare it again"
keep wireguard "$(printf '%s\n' "${lines[@]}")"
apply_table
open_tunnel
