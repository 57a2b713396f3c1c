# WireGuard between hosts, for what clusters' networks carry. Expects what fabric.sh has.
#
# state/wireguard.key: the host's private key, made there, and told to nobody. state/wireguard.port: where it listens.
# state/wireguard: the MTU, and the hosts that have WireGuard too, one a line: address in the fabric, port, public key.
#
# Addresses stay what they are: VXLAN packets to such a host are routed into the tunnel by a table of their own, and come
# out with the addresses that they had. Table and rules are numbered by the port, which no other instance has here. What
# is not routed so is dropped: see apply_table.
tunnel=wg-$prefix
tunnel_ports=({51820..51835}) # nobody may publish these: domain/publications.py
table_of() { echo $(($1 + 1000000)); }
rule_of() { echo $(($1 - 30000)); } # ip-rule(8): before the main table, at 32766

# Make the key, and choose the port by listening there. Expects the device.
make_tunnel_key() {
    local port machine key
    exec {machine}</run
    flock "$machine" # instances choose one after the other
    if [[ ! -s $state/wireguard.port ]]; then
        for port in "${tunnel_ports[@]}"; do
            wg set "$tunnel" listen-port "$port"
            ! ip link set "$tunnel" up 2>/dev/null || break
        done
        [[ $(<"/sys/class/net/$tunnel/flags") == 0x*[13579bdf] ]] || fail 1 "UDP ports ${tunnel_ports[0]} to $port are all taken"
        keep wireguard.port "$port"
    fi
    exec {machine}<&-
    key=$(umask 077 && wg genkey)
    (umask 077 && keep wireguard.key "$key")
}

# Bring the tunnel to what is kept. Packets to its other ends are routed nowhere else, before it is there and after.
open_tunnel() {
    local port routes address peer_port key mtu config shut= open= side
    local -A old=()
    [[ -s $state/wireguard ]] || return 0
    read -r port <"$state/wireguard.port"
    read -r key <"$state/wireguard.key"
    routes=$(table_of "$port")
    config="[Interface]"$'\n'"PrivateKey = $key"$'\n'"ListenPort = $port"$'\n'
    while read -r address _; do
        old[$address]=1
    done < <(ip -4 route show table "$routes" 2>/dev/null | sed 's/^unreachable //')
    {
        read -r _ mtu
        while read -r address peer_port key; do
            config+="[Peer]"$'\n'"PublicKey = $key"$'\n'"Endpoint = $address:$peer_port"$'\n'"AllowedIPs = $address/32"$'\n'
            shut+="route replace unreachable $address/32 metric 9999 table $routes"$'\n'
            open+="route replace $address/32 dev $tunnel table $routes"$'\n'
            unset "old[$address]"
        done
    } <"$state/wireguard"
    [[ -z $shut ]] || ip -batch - <<<"${shut%$'\n'}"
    # By the second, the way back leads into the tunnel too, for hosts that look at that (rp_filter, RFC 3704).
    for side in dport sport; do
        [[ $(ip -4 rule show pref "$(rule_of "$port")") == *" $side 4789 lookup $routes"* ]] ||
            ip -4 rule add pref "$(rule_of "$port")" ipproto udp "$side" 4789 lookup "$routes"
    done
    [[ -e /sys/class/net/$tunnel ]] || ip link add "$tunnel" type wireguard
    wg syncconf "$tunnel" <(printf '%s' "$config")
    ip link set "$tunnel" mtu "$mtu" up
    [[ -z $open ]] || ip -batch - <<<"${open%$'\n'}"
    for address in "${!old[@]}"; do ip -4 route flush exact "$address/32" table "$routes"; done
}

# Whether what open_tunnel has made is still there: other programs drop rules and routes that are not theirs.
tunnel_stands() {
    local port rules wanted found
    [[ -s $state/wireguard ]] || return 0
    read -r port <"$state/wireguard.port"
    rules=$(ip -4 rule show pref "$(rule_of "$port")")
    [[ $rules == *" dport 4789 "* && $rules == *" sport 4789 "* ]] || return 1
    wanted=$(grep -vc '^mtu ' "$state/wireguard") || true
    found=$(ip -4 route show table "$(table_of "$port")" 2>/dev/null | grep -c " dev $tunnel ") || true
    ((wanted == found))
}

drop_tunnel() {
    local port
    if read -r port 2>/dev/null <"$state/wireguard.port"; then
        while ip -4 rule delete pref "$(rule_of "$port")" lookup "$(table_of "$port")" 2>/dev/null; do :; done
        ip -4 route flush table "$(table_of "$port")" 2>/dev/null || true
    fi
    drop_link "$tunnel"
    rm -f "$state"/wireguard{,.key,.port}
}
