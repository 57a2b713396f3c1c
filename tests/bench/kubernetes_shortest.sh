#!/bin/bash
# The measure for Carina: what a good engineer would write by hand for the same Kubernetes cluster, by the shortest way.
#
#   kubernetes_shortest.sh create POOL IMAGE BRIDGE SUBNET UID_BASE COUNT KEYS PYTHON
#   kubernetes_shortest.sh join   POOL IMAGE BRIDGE SUBNET UID_BASE COUNT KEYS PYTHON    one more: the COUNTth
#   kubernetes_shortest.sh answer KEYS API NODE...     a pod on each node, and all reach each other
#   kubernetes_shortest.sh remove POOL BRIDGE
#
# It has Carina's image and kernel features. The files of its nodes are made by one process of Python's, by means of
# Carina's own module for them: certificates can't be made with less. All nodes start at once, and it watches the API
# where that can tell. It does without records, locks, checks of what is there, and undo. KEYS is a directory.
source "${BASH_SOURCE[0]%/*}/shortest_node.sh"

call() { # path and options of curl
    curl --silent --fail --noproxy '*' --cacert "$keys/ca.pem" --cert "$keys/cert.pem" --key "$keys/key.pem" \
        "https://$api:6443$1" "${@:2}"
}

# Watch objects until a line matches; `found` is what its group caught.
await_event() { # path, pattern
    local line watch
    exec {events}< <(exec curl --silent --no-buffer --noproxy '*' --cacert "$keys/ca.pem" --cert "$keys/cert.pem" \
        --key "$keys/key.pem" "https://$api:6443$1")
    watch=$!
    found=
    while read -r -u "$events" line; do
        if [[ $line =~ $2 ]]; then
            found=${BASH_REMATCH[1]:-}
            break
        fi
    done
    kill "$watch" 2>/dev/null || true
    exec {events}<&-
}

furnish() { # number, rootfs
    await_file "$keys/node-$1.tar"
    tar --extract --same-permissions --directory "$2" --file "$keys/node-$1.tar"
}

await_api() {
    until call /readyz >/dev/null; do wait_a_little; done
    mark formed
}

await_node() { # name
    until call "/api/v1/nodes?limit=1" >/dev/null; do wait_a_little; done
    await_event "/api/v1/nodes?watch=true&fieldSelector=metadata.name=$1" '"type":"Ready","status":"True"'
    mark ready
}

# Run a web server in a pod on a node as soon as that is ready. When it has answered, its address is in a file.
web() { # node
    local pods=/api/v1/namespaces/default/pods
    await_node "$1"
    until call $pods --header 'Content-Type: application/json' --data "${pod//NODE/$1}" >/dev/null; do
        wait_a_little
    done
    await_event "$pods?watch=true&fieldSelector=metadata.name=web-$1" '"podIP":"([0-9.]+)"'
    mark web
    until call "$pods/web-$1:80/proxy/" >/dev/null; do wait_a_little; done
    printf '%s' "$found" >"$keys/address-$1"
}

# A pod on each node; then each of them is asked to ask all of them, until each has answered.
answer() { # nodes
    local node addresses= parts=() pod
    pod=$(<"${BASH_SOURCE[0]%/*}/web_pod.json")
    for node; do
        web "$node" &
        parts+=($!)
    done
    for part in "${parts[@]}"; do
        wait "$part"
    done
    mark answered
    (($# > 1)) || { echo it works; return; }
    for node; do
        addresses+=+$(<"$keys/address-$node")
    done
    parts=()
    for node; do
        call "/api/v1/namespaces/default/pods/web-$node:80/proxy/cgi-bin/ask?${addresses#+}" &
        parts+=($!)
    done
    for part in "${parts[@]}"; do
        wait "$part"
    done
    mark met
}

case $1 in
create)
    nodes=$2/bench image=$3 bridge=$4 subnet=$5 uid_base=$6 count=$7 keys=$8 python=$9 api=$5.10
    mkdir "$nodes"
    "$python" -m tests.bench.kubernetes_handmade "$keys" "$subnet" 1 "$count" &
    make_bridge
    names=()
    for ((number = 1; number <= count; number++)); do
        start_node "$number" &
        names+=("node-$number")
    done
    await_file "$keys/key.pem"
    await_api
    answer "${names[@]}"
    ;;
join)
    nodes=$2/bench image=$3 bridge=$4 subnet=$5 uid_base=$6 number=$7 keys=$8 python=$9 api=$5.10
    "$python" -m tests.bench.kubernetes_handmade "$keys" "$subnet" "$number" "$number" &
    start_node "$number"
    await_node "node-$number"
    ;;
answer)
    keys=$2 api=$3
    answer "${@:4}"
    ;;
remove)
    nodes=$2/bench bridge=$3
    remove_all
    ;;
esac
