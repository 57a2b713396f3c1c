"""The script that gathers facts of a host, as lines of a name, a tab and a value. It decides nothing."""

from drivers.provision import APPARMOR_ON, HAS_MODULES

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
say subids "$(cat /etc/subuid /etc/subgid 2> /dev/null | tr '\n' ' ')"
say claimed "$([ ! -e "$3/$2.json" ] || echo yes)"
say claim.network "$(sed -n 's/^ *"network": *"\([0-9./]*\)".*/\1/p' "$3/$2.json" 2> /dev/null)"
if command -v ip > /dev/null; then
  say routes "$(ip -4 -json route show table all | tr -d '\n')"
  say addresses "$(ip -4 -json address show | tr -d '\n')"
  say links "$(ip -json link show up | tr -d '\n')"
fi
# Forward chains that refuse what they don't accept, of tables in which none accepts what the instance's bridges send.
if command -v nft > /dev/null && [ "$(id -u)" = 0 ] && rules=$(nft list ruleset 2> /dev/null); then
  say forward.refusing "looked$(awk -v bridges="\"$2-br*\"" '
    /^table / {{ table = $2 " " $3; hook = "" }}
    /^\tchain / {{ chain = $2; hook = last = ""; drops = 0 }}
    /^\t\ttype .* hook / {{ hook = $0; sub(/.* hook /, "", hook); sub(/ .*/, "", hook); drops = /policy drop/; next }}
    /^\t\t/ {{ last = $0 }}
    index($0, bridges) && (hook == "" || hook == "forward") {{ accepts[table] = 1 }}
    /^\t[}}]/ {{
      refuses = drops || last ~ /^\t\t(counter packets [0-9]+ bytes [0-9]+ )?(log .*)?(drop|reject|xt target "REJECT")/
      if (hook == "forward" && refuses && table ~ /^(ip|inet) /) found[++count] = table SUBSEP chain
      hook = ""
    }}
    END {{
      for (i = 1; i <= count; i++) {{
        split(found[i], parts, SUBSEP)
        if (!(parts[1] in accepts)) printf ";%s %s", parts[1], parts[2]
      }}
    }}
  ' <<< "$rules")"
fi
# Not asked for a table that is not there, since asking would make it.
if grep -qsx filter /proc/net/ip_tables_names && command -v iptables-legacy > /dev/null; then
  say legacy.forward "$(iptables-legacy --list-rules FORWARD 2> /dev/null | tr '\n' ';')"
fi
if [ "$(id -u)" = 0 ]; then unshare --net --mount bash -c "$4" trials "$below"; fi
# A failed look is a fact that is not there, and what is made of that is decided elsewhere.
true
"""
