# Ping addresses from inside a node, all at once, and print those that don't answer. Packets are not to be fragmented.
root=$1 container=$2 payload=$3
shift 3
# shellcheck disable=SC2016 - these are the inner shell's variables
exec lxc-attach -P "$root/pool/nodes" -n "$container" --clear-env -- sh -c '
    payload=$1
    shift
    for address; do
        ping -n -q -M do -s "$payload" -c 1 -i 1 -w 4 "$address" >/dev/null 2>&1 || echo "$address" &
    done
    wait' sh "$payload" "$@" </dev/null
