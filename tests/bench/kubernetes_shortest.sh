#!/bin/bash
# The measure for Carina: what a good engineer would write by hand for the same Kubernetes cluster, by the shortest way.
#
#   kubernetes_shortest.sh create POOL IMAGE BRIDGE SUBNET UID_BASE COUNT KEYS PYTHON
#   kubernetes_shortest.sh join   POOL IMAGE BRIDGE SUBNET UID_BASE COUNT KEYS PYTHON    one more: the COUNTth
#   kubernetes_shortest.sh answer KEYS API NODE=ADDRESS...    a pod on each node, and all reach each other
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

# Watch objects until a line matches.
await_event() { # path, text
    local line watch
    exec {events}< <(exec curl --silent --no-buffer --noproxy '*' --cacert "$keys/ca.pem" --cert "$keys/cert.pem" \
        --key "$keys/key.pem" "https://$api:6443$1")
    watch=$!
    while read -r -u "$events" line; do
        [[ $line != *"$2"* ]] || break
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

# Run a web server in a pod on a node as soon as that is ready, and ask it through a port of the node's, which answers
# before the API knows of it: a kubelet looks what has become of its pods once a second. What it says is its address.
web() { # node, its address
    await_node "$1"
    until call /api/v1/namespaces/default/pods --header 'Content-Type: application/json' \
        --data "${pod//NODE/$1}" >/dev/null; do wait_a_little; done
    mark web
    until curl --silent --fail --noproxy '*' "http://$2:8080/address" >"$keys/address-$1"; do wait_a_little; done
}

# A pod on each node; then each of them is asked to ask all of them, until each has answered.
answer() { # nodes, such as node-1=10.64.250.10
    local node addresses= parts=() pod
    pod=$(<"${BASH_SOURCE[0]%/*}/web_pod.json")
    for node; do
        web "${node%=*}" "${node#*=}" &
        parts+=($!)
    done
    for part in "${parts[@]}"; do
        wait "$part"
    done
    mark answered
    (($# > 1)) || { echo it works; return; }
    for node; do
        addresses+=+$(<"$keys/address-${node%=*}")
    done
    parts=()
    for node; do
        curl --silent --fail --noproxy '*' "http://${node#*=}:8080/cgi-bin/ask?${addresses#+}" &
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
        names+=("node-$number=$subnet.$((9 + number))")
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
