# Images as streams in a directory of the host's, for other instances on it and for later. What is in $new/rootfs is
# taken from there, or kept there; a derived image's stream holds only what it adds to its parent's rootfs.
stream_of() { printf '%s/%s.btrfs.zst' "$cache" "$1"; } # digest

from_cache() { # digest
    local stream
    stream=$(stream_of "$1")
    [[ -e $stream && -e $stream.sha256 ]] || return 1
    echo "taking the node image from $cache"
    if (cd "$cache" && sha256sum --status --check "$stream.sha256") && zstd -dcq "$stream" | btrfs receive -q "$new"; then
        touch --no-create "$stream" "$stream.sha256"
        return 0
    fi
    pool_has_room || exit $DISK_FULL
    echo "what is in $cache is damaged, or grew on another base: going without it"
    rm -f -- "$stream" "$stream.sha256"
    drop_subvolume "$new/rootfs"
    return 1
}

to_cache() { # digest, parent's digest or nothing
    local stream part parent=()
    [[ -z $2 ]] || parent=(-p "$images/$2/rootfs")
    echo "keeping the node image in $cache"
    stream=$(stream_of "$1")
    part=$stream.part
    btrfs send -q "${parent[@]}" "$new/rootfs" | zstd -1 -T0 -qf -o "$part" &&
        (cd "$cache" && sha256sum "${part##*/}" | sed 's/\.part$//' >"$stream.sha256.part") &&
        mv -T "$part" "$stream" &&
        mv -T "$stream.sha256.part" "$stream.sha256" || return 1
    find "$cache" -maxdepth 1 -name '*.btrfs.zst*' ! -name "$1.*" ! -name "${2:-$1}.*" -mtime +30 -delete
}
