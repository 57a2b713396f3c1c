# Remove what brings the host back after a reboot. Nodes that run go on.
unit=$3
lock_fabric
rm -f "$state/boot.sh" "$state/pool" "$state/.new"
[[ ! -d $state ]] || find "$state" -depth -type d -empty -delete
path=/etc/systemd/system/$unit
[[ -e $path || -L /etc/systemd/system/multi-user.target.wants/$unit ]] || exit 0
rm -f "$path" "/etc/systemd/system/multi-user.target.wants/$unit"
[[ -d /run/systemd/system ]] || exit 0
systemctl daemon-reload
# Without its file there is nothing that it would do when stopped: it is only forgotten.
systemctl stop "$unit" 2>/dev/null || true
