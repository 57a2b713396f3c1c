# WireGuard between hosts, for what clusters' networks carry and for nothing else. Expects what fabric.sh has.
#
# state/wireguard.key: the host's private key, made there, and told to nobody. state/wireguard.port: where it listens.
# state/wireguard: the MTU, and the hosts that have WireGuard too, one a line: address in the fabric, port, public key.
#
# Addresses stay what they are: VXLAN packets to such a host are routed into the tunnel by a table of their own, and come
# out with the addresses that they had. Table and rule are numbered by the port, which no other instance has here.
tunnel=wg-$prefix
first_tunnel_port=51820
rule_of() { echo $(($1 - 30000)); } # ip-rule(8): before the main table, at 32766

make_tunnel_key() {
    local port=$first_tunnel_port
    umask 077
    [[ -s $state/wireguard.port ]] || {
        while [[ -n $(ss --no-header --udp --listening --numeric "sport = :$port") ]]; do port=$((port + 1)); done
        keep wireguard.port "$port"
    }
    keep wireguard.key "$(wg genkey)"
}

# Bring the tunnel to what is kept: peers that are right already are not touched, so no packet is lost.
open_tunnel() {
    local port key mtu address peer_port peer=() batch= config= kept
    local -A old=()
    [[ -s $state/wireguard ]] || return 0
    read -r port <"$state/wireguard.port"
    read -r key <"$state/wireguard.key"
    [[ -e /sys/class/net/$tunnel ]] || ip link add "$tunnel" type wireguard
    config="[Interface]"$'\n'"PrivateKey = $key"$'\n'"ListenPort = $port"$'\n'
    while read -r kept _; do old[$kept]=1; done < <(ip -4 route show table "$port" 2>/dev/null | sed 's/^unreachable //')
    {
        read -r _ mtu
        while read -r address peer_port key; do
            config+="[Peer]"$'\n'"PublicKey = $key"$'\n'"Endpoint = $address:$peer_port"$'\n'"AllowedIPs = $address/32"$'\n'
            # What can't go through the tunnel goes nowhere.
            batch+="route replace $address/32 dev $tunnel table $port"$'\n'
            batch+="route replace unreachable $address/32 metric 9999 table $port"$'\n'
            unset "old[$address]"
        done
    } <"$state/wireguard"
    wg syncconf "$tunnel" <(printf '%s' "$config")
    ip link set "$tunnel" mtu "$mtu" up
    for address in "${!old[@]}"; do ip -4 route flush exact "$address/32" table "$port"; done
    [[ -z $batch ]] || ip -batch - <<<"${batch%$'\n'}"
    # By the second, the way back leads into the tunnel too, for hosts that look at that (rp_filter, RFC 3704).
    for kept in dport sport; do
        [[ $(ip -4 rule show pref "$(rule_of "$port")") == *" $kept 4789 "* ]] ||
            ip -4 rule add pref "$(rule_of "$port")" ipproto udp "$kept" 4789 lookup "$port"
    done
}

drop_tunnel() {
    local port
    if read -r port 2>/dev/null <"$state/wireguard.port"; then
        while ip -4 rule delete pref "$(rule_of "$port")" 2>/dev/null; do :; done
        ip -4 route flush table "$port" 2>/dev/null || true
    fi
    drop_link "$tunnel"
    rm -f "$state"/wireguard{,.key,.port}
}
