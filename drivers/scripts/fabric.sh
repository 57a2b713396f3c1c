# The host's part of clusters' networks, made from what stands in $root/state. Expects $root and $prefix.
#
# state/segments/<bridge>, a setting a line: alias, address, mac, mtu; "network", the instance's for nodes; "direct" where
# there is a route to the nodes; and where nodes are on other hosts, "vxlan" with the VNI and the host's own address, and
# a "neighbour" for each, with its address, its MAC and its host's address.
# state/publications: protocol, host port, node's address, node's port. state/guarded: a network a line.
# What there is of WireGuard: see wireguard.sh.
state=$root/state
table=carina_$prefix
udp_timeout=/proc/sys/net/netfilter/nf_conntrack_udp_timeout_stream

# One change at a time for each instance. The lock is on the directory itself, so there is no file to leave behind.
lock_fabric() {
    [[ -d $root ]] || return 0
    exec {fabric_lock}<"$root"
    flock "$fabric_lock"
}

# Keep lines in a file of the state, whole or not at all. Without any there is no file.
keep() { # file, lines
    local path=$state/$1
    mkdir -p -m 0700 "$state" "${path%/*}"
    if [[ -z $2 ]]; then
        rm -f "$path"
    elif [[ ! -e $path || $(<"$path") != "$2" ]]; then
        printf '%s\n' "$2" >"$state/.new"
        sync "$state/.new" # else a host that loses power now may come back with an empty file
        mv "$state/.new" "$path"
    fi
}

add_set() { # "set" or "map" and its name, type, elements
    rules+="$1 { $2; "
    [[ -z $3 ]] || rules+="elements = { $3 }; "
    rules+=$'}\n'
}

# Make the instance's table anew, in one transaction: from what the bridges that are there say of themselves in their
# aliases, and from the state.
apply_table() {
    local path name mark cluster cidr pods rules= line
    local bridges= same= own= subnets= vnis= peers= published= opened= guarded= tunnelled= resolvers= direct= networks= uplinks= others= forgotten_s
    local protocol port address node_port
    for path in /sys/class/net/"$prefix"-br*; do
        [[ -e $path/bridge ]] || continue
        read -r mark cluster cidr pods <"$path/ifalias" || continue
        [[ $mark == carina ]] || continue
        name=${path##*/}
        bridges+="\"$name\", " same+="\"$name\" . \"$name\", " own+="\"$name\" . $cidr, " subnets+="$cidr, "
        [[ -z $pods ]] || own+="\"$name\" . $pods, "
    done
    if [[ -z $bridges ]]; then
        ! command -v nft >/dev/null || printf 'table inet %s\ndelete table inet %s\n' "$table" "$table" | nft -f -
        return
    fi
    for path in "$state"/segments/"$prefix"-br*; do
        [[ ! -e $path ]] || read_kept "$path"
    done
    [[ ! -e $state/publications ]] || while read -r protocol port address node_port; do
        published+="$protocol . $port : $address . $node_port, " opened+="$address . $protocol . $node_port, "
    done <"$state/publications"
    [[ ! -e $state/guarded ]] || while read -r line; do guarded+="$line, "; done <"$state/guarded"
    [[ ! -e $state/wireguard ]] || while read -r line _; do
        [[ $line == mtu ]] || tunnelled+="$line, "
    done <"$state/wireguard"
    # Nodes ask the resolvers that the host asks.
    for path in /etc/resolv.conf /run/systemd/resolve/resolv.conf; do
        [[ ! -e $path ]] || while read -r mark line _; do
            [[ $mark != nameserver || $line != *.*.*.* ]] || resolvers+="$line, "
        done <"$path"
    done
    add_set 'set bridges' 'type ifname' "$bridges"
    add_set 'set same' 'type ifname . ifname' "$same"
    add_set 'set own' 'type ifname . ipv4_addr; flags interval' "$own"
    add_set 'set subnets' 'type ipv4_addr; flags interval' "$subnets"
    # A VNI stands 12 bytes behind the beginning of the UDP header (RFC 7348).
    add_set 'set vnis' 'typeof @th,96,24' "$vnis"
    add_set 'set peers' 'typeof ip saddr . @th,96,24' "$peers"
    add_set 'set tunnelled' 'type ipv4_addr' "$tunnelled"
    add_set 'map published' 'type inet_proto . inet_service : ipv4_addr . inet_service' "$published"
    add_set 'set opened' 'type ipv4_addr . inet_proto . inet_service' "$opened"
    add_set 'set guarded' 'type ipv4_addr; flags interval; auto-merge' "$guarded"
    add_set 'set networks' 'type ipv4_addr; flags interval; auto-merge' "$networks"
    add_set 'set direct' 'type ifname' "$direct"
    while read -r mark name; do
        [[ $mark != dev ]] || uplinks+="\"$name\", "
    done < <(ip -4 route show table all default | grep -o 'dev [^ ]*' | sort -u)
    add_set 'set uplinks' 'type ifname' "$uplinks"
    for path in /sys/class/net/br-*; do # of networks that were made in Docker
        [[ ! ${path##*/} =~ ^br-[0-9a-f]{12}$ ]] || others+="\"${path##*/}\", "
    done
    add_set 'set others' 'type ifname' "$others"
    add_set 'set resolvers' 'type ipv4_addr' "$resolvers"
    # A flow of UDP has no end: one to a port that leads elsewhere now would be held for the former one as long as it
    # goes on. So it is kept from where that is remembered (conntrack) until it is forgotten there.
    { read -r forgotten_s <"$udp_timeout"; } 2>/dev/null || forgotten_s=120
    rules+="set stale { type ipv4_addr . inet_service . inet_service; flags dynamic,timeout; size 65536; "
    rules+="timeout $((forgotten_s + 1))s; }"$'\n'
    nft -f - <<RULES
table inet $table
delete table inet $table
table inet $table {
  $rules
  chain spoofed {
    type filter hook prerouting priority raw; policy accept;
    meta nfproto ipv4 iifname @bridges iifname . ip saddr != @own drop
    ip saddr . udp sport . udp dport @stale drop
  }
  chain published_to_others {
    type nat hook prerouting priority dstnat; policy accept;
    iifname != @bridges fib daddr type local ip daddr != @subnets dnat ip to meta l4proto . th dport map @published
  }
  chain published_to_the_host {
    type nat hook output priority -100; policy accept;
    fib daddr type local ip daddr != @subnets ip daddr != 127.0.0.0/8 dnat ip to meta l4proto . th dport map @published
  }
  chain input {
    type filter hook input priority filter; policy accept;
    udp dport 4789 @th,96,24 @vnis ip saddr . @th,96,24 != @peers drop
    udp dport 4789 @th,96,24 @vnis ip saddr @tunnelled iifname != "wg-*" drop
    iifname != @bridges accept
    ct state established,related accept
    icmp type echo-request accept
    drop
  }
  chain output {
    type filter hook output priority filter; policy accept;
    udp dport 4789 @th,96,24 @vnis ip daddr @tunnelled oifname != "wg-*" drop
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname . oifname @same accept
    oifname @bridges jump inwards
    iifname @bridges jump outwards
  }
  chain inwards {
    ct direction original ct status dnat ip daddr . meta l4proto . th dport != @opened jump withdrawn
    ct state established,related accept
    iifname != @bridges ct status dnat ip daddr . meta l4proto . th dport @opened accept
    iifname != @bridges oifname @direct accept
    drop
  }
  chain withdrawn {
    meta l4proto tcp reject with tcp reset
    meta l4proto udp update @stale { ip saddr . udp sport . ct original proto-dst } drop
  }
  chain outwards {
    udp dport 4789 drop
    ct state established,related accept
    ct status dnat drop
    oifname != @uplinks jump beside
    ip daddr @networks drop
    meta l4proto { tcp, udp } th dport 53 ip daddr @resolvers accept
    ip daddr @guarded drop
  }
  chain beside {
    oifname @others drop
    oifname "docker*" drop
    oifname "podman*" drop
    oifname "cni*" drop
    oifname "virbr*" drop
    oifname "lxcbr*" drop
    oifname "lxdbr*" drop
    oifname "incusbr*" drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr @subnets oifname != @bridges masquerade
  }
}
RULES
}

# Add what a segment's file says to $vnis, $peers, $networks and $direct.
read_kept() { # file
    local key first second third vni=
    local -A hosts=()
    while read -r key first second third; do
        case $key in
            vxlan) vni=$first ;;
            neighbour) hosts[$third]=1 ;;
            network) networks+="$first, " ;;
            direct) direct+="\"${1##*/}\", " ;;
        esac
    done <"$1"
    [[ -n $vni ]] || return 0
    vnis+="$vni, "
    for first in "${!hosts[@]}"; do
        peers+="$first . $vni, "
    done
}

# Read a segment's file into the caller's variables.
read_segment() { # bridge
    local key value
    while read -r key value; do
        case $key in
            alias) alias=$value ;;
            address) address=$value ;;
            mac) mac=$value ;;
            mtu) mtu=$value ;;
            vxlan) vxlan=$value ;;
            neighbour) neighbours+=("$value") ;;
        esac
    done <"$state/segments/$1"
    [[ -n $alias && -n $address && -n $mac && -n $mtu ]] || fail 1 "$state/segments/$1 is not whole"
}

without_ipv6() { # interface; nodes have IPv4 only, and the kernel would give it an address and announce that
    [[ ! -e /proc/sys/net/ipv6/conf/$1 ]] || echo 1 >"/proc/sys/net/ipv6/conf/$1/disable_ipv6"
}

# Make a bridge that says what it is for, without an address yet: the table is to stand before that.
make_bridge() { # bridge
    local alias= address= mac= mtu= vxlan= neighbours=()
    read_segment "$1"
    [[ -e /sys/class/net/$1 ]] || ip link add "$1" type bridge
    [[ -e /sys/class/net/$1/bridge ]] || fail 1 "$1 is there and is no bridge"
    without_ipv6 "$1"
    # A bridge without a MAC address of its own takes that of a port, and a new one when that port goes: nodes would be
    # talking to the old one.
    ip link set "$1" alias "$alias" mtu "$mtu" address "$mac" type bridge stp_state 0 forward_delay 0
}

# Let packets through a bridge, and join it to those of other hosts.
open_bridge() { # bridge
    local alias= address= mac= mtu= vxlan= neighbours=() other
    read_segment "$1"
    ip -o -4 address show dev "$1" | while read -r _ _ _ other _; do
        [[ $other == "$address" ]] || ip address delete "$other" dev "$1"
    done
    ip address replace "$address" dev "$1"
    ip link set "$1" up
    for other in /sys/class/net/"$prefix-$(printf %x "${1##*-br}")"n*; do # of nodes that run on, though the bridge had gone
        [[ ! -e $other || -e $other/master ]] || ip link set "${other##*/}" master "$1"
    done
    if [[ -n $vxlan ]]; then
        make_vxlan "$1" "${1/-br/-vx}"
    else
        drop_link "${1/-br/-vx}"
    fi
}

drop_link() { # interface
    [[ ! -e /sys/class/net/$1 ]] || ip link delete "$1"
}

# Make the device that leads to the other hosts. It floods nothing and learns nothing: a packet goes to the one host
# that has its MAC address, or nowhere; the device itself answers who has a neighbour's address (proxy), and takes in
# all other such questions.
make_vxlan() { # bridge, device
    local bridge=$1 device=$2 stamp="carina $vxlan" vni=${vxlan% *} own=${vxlan#* }
    [[ ! -e /sys/class/net/$device || $(<"/sys/class/net/$device/ifalias") == "$stamp" ]] || ip link delete "$device"
    if [[ ! -e /sys/class/net/$device ]]; then
        ip link add "$device" type vxlan id "$vni" local "$own" dstport 4789 nolearning proxy
        without_ipv6 "$device"
    fi
    ip link set "$device" alias "$stamp" mtu "$mtu" master "$bridge"
    ip link set "$device" type bridge_slave learning off flood off mcast_flood off
    set_neighbours
    ip link set "$device" up
}

# Bring the entries of a device to what $neighbours says. Those that are right are not touched, so no packet is lost.
set_neighbours() {
    local mac address host line entry fdb= arp=
    local -A hosts=() ports=() addresses=()
    while read -r line; do
        mac=${line%% *}
        case $line in
            *" dst "*) entry=${line#* dst } hosts[$mac]=${entry%% *} ;;
            *" master "*static*) ports[$mac]=1 ;;
        esac
    done < <(bridge fdb show dev "$device")
    while read -r address line; do
        [[ $line == *lladdr* ]] && entry=${line#*lladdr } addresses[$address]=${entry%% *}
    done < <(ip -4 neighbour show dev "$device" nud permanent)
    for line in "${neighbours[@]}"; do
        read -r address mac host <<<"$line"
        [[ ${hosts[$mac]:-} == "$host" ]] || fdb+="fdb replace $mac dev $device dst $host self permanent"$'\n'
        [[ -n ${ports[$mac]:-} ]] || fdb+="fdb replace $mac dev $device master static sticky"$'\n'
        [[ ${addresses[$address]:-} == "$mac" ]] || arp+="neighbour replace $address lladdr $mac dev $device nud permanent"$'\n'
        unset "hosts[$mac]" "ports[$mac]" "addresses[$address]"
    done
    for mac in "${!hosts[@]}"; do fdb+="fdb delete $mac dev $device self"$'\n'; done
    for mac in "${!ports[@]}"; do fdb+="fdb delete $mac dev $device master"$'\n'; done
    for address in "${!addresses[@]}"; do arp+="neighbour delete $address dev $device"$'\n'; done
    [[ -z $fdb ]] || bridge -batch - <<<"${fdb%$'\n'}"
    [[ -z $arp ]] || ip -batch - <<<"${arp%$'\n'}"
}
