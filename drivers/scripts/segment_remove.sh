# Remove a cluster's bridge, what joins it to other hosts, the rules for it, and what is kept of it.
bridge=$3
[[ $bridge == "$prefix"-br* ]] || fail 1 "$bridge is not of $prefix"
lock_fabric
rm -f "$state/segments/$bridge"
drop_link "${bridge/-br/-vx}"
[[ ! -e /sys/class/net/$bridge/bridge ]] || ip link delete "$bridge"
apply_table
