# List containers, a line each: directory, seconds of age, whether it runs, stamp; separated by tabs.
root=$1
pool=$root/pool nodes=$root/pool/nodes
# Nodes on a pool that is not mounted are not gone.
[[ ! -e $pool.img && ! -e $root/state/pool ]] || need_pool
[[ -d $nodes ]] || exit 0
shopt -s nullglob
running=" $(running_containers "$nodes" | tr '\n' ' ') "
for dir in "$nodes"/* "$nodes"/.new-* "$nodes"/.gone-*; do
    stamp= made=$dir name=${dir##*/}
    if [[ -e $dir/stamp.json ]]; then
        made=$dir/stamp.json
        stamp=$(<"$made") || continue # removed this moment
    fi
    made_s=$(stat --format=%Y "$made" 2>/dev/null) || continue
    [[ $running == *" $name "* ]] && runs=yes || runs=no
    printf '%s\t%s\t%s\t%s\n' "$name" "$((EPOCHSECONDS - made_s))" "$runs" "$stamp"
done
