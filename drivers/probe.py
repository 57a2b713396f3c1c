"""The script that gathers facts of a host, as lines of a name, a tab and a value. It decides nothing."""

from drivers.provision import APPARMOR_ON, HAS_MODULES

_REFUSING_CHAINS = r"""
  # Of a list of all rules: forward chains that refuse whatever they do not accept, and that lead to no rule which
  # accepts what comes from the bridges.
  function accepted(first, at,   targets, count, i) {
    if ((first, at) in seen) return 0
    seen[first, at] = 1
    if (at in accepts) return 1
    count = split(leads[at], targets, " ")
    for (i = 1; i <= count; i++) if (accepted(first, table_of[at] SUBSEP targets[i])) return 1
    return 0
  }
  /^table / { table = $2 " " $3 }
  /^\tchain / { at = table SUBSEP $2; table_of[at] = table; last = ""; forwards = drops = 0 }
  /^\t\ttype .* hook / { forwards = / hook forward /; drops = /policy drop/; next }
  /^\t\t/ {
    last = $0
    sub(/ comment "[^"]*"$/, "")
    if (index($0, bridges) && / (accept|(jump|goto) [^ ]+)$/) accepts[at] = 1
    gsub(/"[^"]*"|[,}]/, "")
    for (i = 1; i < NF; i++) if ($i == "jump" || $i == "goto") leads[at] = leads[at] " " $(i + 1)
  }
  /^\t}/ {
    logs = "(log (prefix \"[^\"]*\" )?((level|group|snaplen|flags) [a-z0-9]+ )*)?"
    refuses = drops || last ~ "^\t\t(counter packets [0-9]+ bytes [0-9]+ )?" logs "(drop|reject|xt target \"REJECT\")"
    if (forwards && refuses && table ~ /^(ip|inet) /) found[++chains] = at
    forwards = 0
  }
  END {
    for (i = 1; i <= chains; i++) if (!accepted(found[i], found[i])) {
      split(found[i], parts, SUBSEP)
      printf ";%s %s", parts[1], parts[2]
    }
  }
"""

FACTS = rf"""
# $1: the instance's root directory, $2: its prefix, $3: where claims are, $4: the trials
# $5: the block device for the pool, if there is to be one
# On standard input: which commands and kernel settings to look for.
say() {{ printf '%s\t%s\n' "$1" "$2"; }}
of() {{ cat "$1" 2> /dev/null | tr -s ' \n\t' ' ' || true; }}
while read -r kind name; do
  case $kind in
    command) say "command.$name" "$(command -v "$name")" ;;
    sysctl) say "sysctl.$name" "$(of "/proc/sys/${{name//.//}}")" ;;
  esac
done
say now "$(date +%s.%N)"
say uid "$(id -u)"
say kernel "$(uname -r)"
say synchronized "$(timedatectl show --property NTPSynchronized --value 2> /dev/null)"
say apt "$(command -v apt-get)"
say systemd "$([ ! -d /run/systemd/system ] || echo yes)"
say modules "$({HAS_MODULES} && echo yes)"
say apparmor "$({APPARMOR_ON} && echo yes)"
say apparmor.loads "$([ ! -e /sys/kernel/security/apparmor/.replace ] || echo yes)"
say lxc "$(lxc-start --version 2> /dev/null)"
say cgroup.type "$(stat -f -c %T /sys/fs/cgroup 2> /dev/null)"
say cgroup.v2 "$(of /sys/fs/cgroup/cgroup.controllers)"
say cgroup.v1 "$(awk '$3 == "cgroup" {{print $4}}' /proc/mounts | tr ',\n' '  ')"
if [ -e /proc/net/ip_vs ]; then say ipvs loaded
elif modprobe --dry-run --quiet ip_vs 2> /dev/null; then say ipvs loadable
else say ipvs ''
fi
below=$1
while [ ! -d "$below" ]; do below=$(dirname "$below"); done
at=$below closed=
while [ "$at" != / ]; do
  case $(stat -c %A "$at") in *[xt]) ;; *) closed=$at ;; esac
  at=$(dirname "$at")
done
say root.closed "$closed"
say root.filesystem "$(stat -f -c %T "$below")"
room() {{ df --block-size=1 --output="$1" "$2" 2> /dev/null | tail -n 1 | tr -d ' '; }}
say root.free "$(room avail "$below")"
say root.total "$(room size "$below")"
if [ -d "$1/pool" ] && [ "$(stat -f -c %T "$1/pool")" = btrfs ]; then
  say pool.free "$(room avail "$1/pool")"
  say pool.total "$(room size "$1/pool")"
  if [ -e "$1/pool.img" ]; then say pool.kind file
  elif mountpoint -q "$1/pool"; then say pool.kind own
  else say pool.kind shared
  fi
  groups=/sys/fs/btrfs/$(findmnt --noheadings --output UUID --target "$1/pool")/qgroups
  say pool.quota "$([ ! -e "$groups/enabled" ] || cat "$groups/mode" 2> /dev/null || echo qgroup)"
fi
say btrfs.simple "$([ ! -e /sys/fs/btrfs/features/simple_quota ] || echo yes)"
if [ -n "$5" ]; then
  say device "$5"
  say device.bytes "$(blockdev --getsize64 "$5" 2> /dev/null)"
fi
say memory.available "$(($(awk '$1 == "MemAvailable:" {{print $2}}' /proc/meminfo) * 1024))" # mawk's %d ends at 2 GiB
say memory.total "$(($(awk '$1 == "MemTotal:" {{print $2}}' /proc/meminfo) * 1024))"
say cpus "$(nproc)"
say load "$(of /proc/loadavg)"
say seccomp "$(of /proc/sys/kernel/seccomp/actions_avail)"
say loop "$([ ! -e /dev/loop-control ] || losetup --find 2> /dev/null)"
if mountpoint -q /var/lib/lxcfs; then
  say lxcfs "$(grep -q ^MemTotal: /var/lib/lxcfs/proc/meminfo 2> /dev/null && echo mounted || echo dead)"
fi
# sshd tells where the connection came in; sudo and the shell between may have dropped that from the environment.
at=$$ came=
while [ -z "$came" ] && [ "${{at:-0}}" -gt 1 ]; do
  came=$(tr '\0' '\n' 2> /dev/null < "/proc/$at/environ" | sed -n 's/^SSH_CONNECTION=//p')
  at=$(awk '$1 == "PPid:" {{print $2}}' "/proc/$at/status" 2> /dev/null)
done
say ssh "$came"
if [ -s "$1/state/wireguard.key" ]; then
  say tunnel "$(cat "$1/state/wireguard.port" 2> /dev/null) $(wg pubkey < "$1/state/wireguard.key" 2> /dev/null)"
fi
say subids "$(cat /etc/subuid /etc/subgid 2> /dev/null | tr '\n' ' ')"
say claimed "$([ ! -e "$3/$2.json" ] || echo yes)"
say claim.network "$(sed -n 's/^ *"network": *"\([0-9./]*\)".*/\1/p' "$3/$2.json" 2> /dev/null)"
if command -v ip > /dev/null; then
  say routes "$(ip -4 -json route show table all | tr -d '\n')"
  say addresses "$(ip -4 -json address show | tr -d '\n')"
  say links "$(ip -json link show up | tr -d '\n')"
fi
if command -v nft > /dev/null && [ "$(id -u)" = 0 ] && rules=$(nft list ruleset 2> /dev/null); then
  say forward.refusing "looked$(awk -v bridges="\"$2-br*\"" '{_REFUSING_CHAINS}' <<< "$rules")"
fi
# Not asked for a table that is not there, since asking would make it.
if grep -qsx filter /proc/net/ip_tables_names && command -v iptables-legacy > /dev/null; then
  say legacy.forward "$(iptables-legacy --list-rules FORWARD 2> /dev/null | tr '\n' ';')"
fi
if [ "$(id -u)" = 0 ]; then unshare --net --mount bash -c "$4" trials "$below"; fi
# A failed look is a fact that is not there, and what is made of that is decided elsewhere.
true
"""
