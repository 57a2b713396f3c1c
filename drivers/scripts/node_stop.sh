# Stop the containers named, or all, at once: cleanly, and after the timeout by force.
root=$1 timeout_s=$2
shift 2
pool=$root/pool nodes=$pool/nodes
[[ -d $nodes ]] || exit 0
(($#)) || mapfile -t names < <(lxc-ls -P "$nodes" --running -1)
(($#)) && names=("$@")
for name in "${names[@]}"; do
    lxc-stop -P "$nodes" -n "$name" -t "$timeout_s" >/dev/null 2>&1 &
done
wait
for name in "${names[@]}"; do
    [[ ! -e $nodes/$name/config ]] || ! is_running "$nodes" "$name" || fail $BUSY "container $name does not stop"
done
