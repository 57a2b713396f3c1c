# Remove all of the instance's bridges, what joins them to other hosts, its table, and what is kept of them.
lock_fabric
rm -f "$state"/segments/"$prefix"-br* "$state/publications" "$state/guarded" "$state/.new"
for path in /sys/class/net/"$prefix"-vx*; do
    [[ $(cat "$path/ifalias" 2>/dev/null) != carina\ * ]] || ip link delete "${path##*/}"
done
for path in /sys/class/net/"$prefix"-br*; do
    [[ ! -e $path/bridge ]] || ip link delete "${path##*/}"
done
drop_tunnel
apply_table
[[ ! -d $state ]] || find "$state" -depth -type d -empty -delete
