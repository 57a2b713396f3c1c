"""What Carina has on a host, as the host itself tells it: a script that prints a line `kind what` for each thing."""

LOOK = r"""
set -uo pipefail
for file in /var/lib/carina/*/pool/nodes/* /var/lib/carina/*/pool/nodes/.[!.]*; do
  [[ ! -e $file || $file == */.lock-* ]] || echo "container ${file##*/}"
done
for name in $(lxc-ls -1 --active 2>/dev/null); do echo "container $name"; done
ip -oneline link show | while read -r _ name rest; do
  name=${name%%[:@]*}
  [[ $name == lo || $name == eth0 || $name == lxcbr0 ]] || echo "link $name"
done
nft list tables 2>/dev/null | while read -r _ family name; do [[ $name != carina* ]] || echo "table $family $name"; done
awk 'index($5, "/var/lib/carina/") == 1 {print "mount " $5}' /proc/self/mountinfo
for file in /var/lib/carina/*/*.img; do
  [[ ! -e $file ]] || losetup --noheadings --output NAME --associated "$file" | sed 's/^/loop /'
done
for file in /var/lib/carina/* /etc/carina/claims/*.json /etc/systemd/system/carina-* /etc/sysctl.d/*carina*; do
  [[ ! -e $file ]] || echo "file $file"
done
for file in /etc/subuid /etc/subgid; do grep '^root:' $file 2>/dev/null | sed "s|^|ids $file |"; done
for pid in /proc/[0-9]*; do
  case $(tr '\0' ' ' <"$pid/cmdline" 2>/dev/null) in
    lxc-start\ *|"[lxc monitor]"*) echo "process ${pid##*/}" ;;
  esac
done
exit 0
"""
