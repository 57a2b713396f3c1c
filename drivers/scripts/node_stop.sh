# Stop the containers named, or all, at once: cleanly, and after the timeout by force.
root=$1 timeout_s=$2
shift 2
pool=$root/pool nodes=$pool/nodes
[[ -d $nodes ]] || exit 0

stop() { # names
    local name
    for name; do
        timeout --foreground $((timeout_s + 30)) lxc-stop -P "$nodes" -n "$name" -t "$timeout_s" >/dev/null 2>&1 &
    done
    wait
}

if (($#)); then
    names=("$@")
    stop "${names[@]}"
else
    mapfile -t names < <(running_containers "$nodes")
    stop "${names[@]}"
    # A service that was killed leaves calls that go on by themselves: what they start has to stop, too.
    for held in "$nodes"/.lock-*; do
        [[ ! -e $held ]] || take_lock "$held"
    done
    names=()
    for dir in "$nodes"/*; do
        [[ ! -e $dir/config ]] || ! is_running "$nodes" "${dir##*/}" || names+=("${dir##*/}")
    done
    stop "${names[@]}"
fi
for name in "${names[@]}"; do
    [[ ! -e $nodes/$name/config ]] || ! is_running "$nodes" "$name" || fail $BUSY "container $name does not stop"
done
