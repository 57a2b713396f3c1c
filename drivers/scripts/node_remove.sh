# Remove a container and what half-done calls left of it. It first gets a name that is no node's.
root=$1 container=$2
pool=$root/pool nodes=$pool/nodes
[[ -d $nodes ]] || exit 0
take_lock "$nodes/.lock-$container"
drop_container "$nodes" ".gone-$container"
drop_container "$nodes" ".new-$container"
if [[ -e $nodes/$container ]]; then
    [[ ! -e $nodes/$container/config ]] || end_container "$nodes" "$container"
    mv -T "$nodes/$container" "$nodes/.gone-$container"
    [[ ! -e $nodes/.gone-$container/size ]] || limited=yes
    lift_disk_limit "$nodes/.gone-$container"
    drop_subvolume "$nodes/.gone-$container/rootfs"
    rm -rf -- "$nodes/.gone-$container"
fi
unload_profile "$container"
sweep_profiles "$nodes" "$container"
[[ -z ${limited:-} ]] || sweep_quotas
rm -f "$nodes/.lock-$container"
