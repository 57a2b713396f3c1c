#!/bin/bash
# The measure for Carina: what a good engineer would write by hand for the same Swarm cluster, by the shortest way.
#
#   swarm_shortest.sh create POOL IMAGE BRIDGE SUBNET UID_BASE COUNT   SUBNET is such as 10.64.250, for 10.64.250.0/24
#   swarm_shortest.sh answer LXCPATH WEB ASKER                         a container on one node is asked from another
#   swarm_shortest.sh remove POOL BRIDGE
#
# It has Carina's image and kernel features, makes all nodes at once, lets none wait for what it does not need, and
# polls as tightly as Carina does. It does without certificates (Docker listens on its unix socket only), records,
# locks, checks of what is there, and undo.
source "${BASH_SOURCE[0]%/*}/shortest_node.sh"

furnish() { # number, rootfs
    mkdir -p "$2/etc/docker"
    echo '{"storage-driver": "overlay2"}' >"$2/etc/docker/daemon.json"
}

make_node() { # number
    start_node "$1"
    await_file "$nodes/node-$1/rootfs/var/lib/carina/ready"
    mark ready
}

manager() {
    make_node 1
    inside node-1 /bin/sh -euc '
        docker swarm init --advertise-addr "$1" >/dev/null
        docker swarm join-token --quiet worker >/token.new
        mv /token.new /token
    ' init "$subnet.10"
    mark formed
    inside node-1 docker network create --driver overlay --attachable carina >/dev/null
    mark overlay
}

worker() { # number
    make_node "$1"
    await_file "$nodes/node-1/rootfs/token"
    inside "node-$1" docker swarm join --token "$(<"$nodes/node-1/rootfs/token")" "$subnet.10:2377" >/dev/null
    mark joined
}

answer() { # web's node, asker's node
    inside "$1" docker run --detach --name web --network carina carina/probe:1 \
        sh -c 'echo it works >/tmp/index.html && exec httpd -f -p 80 -h /tmp' >/dev/null
    mark web
    inside "$2" docker run --rm --network carina --dns 127.0.0.1 carina/probe:1 \
        timeout 20 sh -c 'until wget -q -T 1 -O - http://web/; do usleep 20000; done' 2>/dev/null
    mark answered
}

case $1 in
create)
    nodes=$2/bench image=$3 bridge=$4 subnet=$5 uid_base=$6 count=$7
    mkdir "$nodes"
    make_bridge
    manager &
    parts=($!)
    for ((number = 2; number <= count; number++)); do
        worker "$number" &
        parts+=($!)
    done
    for part in "${parts[@]}"; do
        wait "$part"
    done
    answer "node-$((count > 1 ? 2 : 1))" "node-$count"
    ;;
answer)
    nodes=$2
    answer "$3" "$4"
    ;;
remove)
    nodes=$2/bench bridge=$3
    remove_all
    ;;
esac
