# Keep what brings the host back after a reboot: the script on standard input, and, with systemd, a unit that runs it.
# Prints what was changed.
unit=$3 text=$4
pool=$root/pool boot=$state/boot.sh units=/etc/systemd/system
mapfile -t lines
mkdir -p -m 0711 "$root"
lock_fabric
before=$(cat "$boot" "$state/pool" 2>/dev/null) || true
keep boot.sh "$(printf '%s\n' "${lines[@]}")"
if [[ ! -e $pool.img ]] && mountpoint -q "$pool"; then
    # One that is mounted by the host's own means at boot is there already when the script runs.
    keep pool "$(findmnt --noheadings --raw --nofsroot --output UUID,FSROOT,SOURCE --mountpoint "$pool" | tail -n 1)"
fi
[[ $(cat "$boot" "$state/pool" 2>/dev/null) == "$before" ]] || echo "$boot"
exec {fabric_lock}<&-
[[ -d /run/systemd/system ]] || exit 0
if [[ $(cat "$units/$unit" 2>/dev/null) != "$text" ]]; then
    printf '%s\n' "$text" >"$units/.$unit.new"
    mv "$units/.$unit.new" "$units/$unit"
    systemctl daemon-reload
    echo "$units/$unit"
fi
systemctl is-enabled --quiet "$unit" || systemctl enable --quiet "$unit"
# It has to be active for the nodes to be stopped cleanly when the host goes down. There is nothing else for it to do.
systemctl is-active --quiet "$unit" || systemctl start --no-block "$unit"
