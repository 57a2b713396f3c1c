# Make a cluster's bridge as standard input says, keep that for the next boot, and join it to those of other hosts.
bridge=$3
mapfile -t lines
mkdir -p -m 0711 "$root"
lock_fabric
[[ ! -e /sys/class/net/$bridge || -e /sys/class/net/$bridge/bridge ]] || fail 1 "$bridge is there and is no bridge"
keep "segments/$bridge" "$(printf '%s\n' "${lines[@]}")"
make_bridge "$bridge"
apply_table
tunnel_stands || open_tunnel
open_bridge "$bridge"
