# Mount what was the pool below $root before, which has to be it again: an empty one in its place would hide all nodes.
mount_kept() {
    local filesystem top device
    read -r filesystem top device <"$root/state/pool"
    mkdir -p "$root/pool"
    # Devices are not found in the same order each time; what is on them has a name that stays.
    mount -t btrfs -o "noatime,discard=async,subvol=$top" "UUID=$filesystem" "$root/pool" 2>/dev/null ||
        mount -t btrfs -o "noatime,discard=async,subvol=$top" "$device" "$root/pool" || {
        echo "the pool on $device (UUID $filesystem) can't be mounted" >&2
        return 1
    }
}
