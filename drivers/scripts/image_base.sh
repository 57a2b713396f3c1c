# The layer that all images share.

# Unpack the layer's files; units of the packages' are started by ours, not by their own links.
write_files() { # layer
    rm -f "$new/rootfs"/etc/systemd/system/multi-user.target.wants/{docker,containerd,etcd}.service
    tar --extract --to-stdout --file "$new/files.tar" "$1.tar" | tar --extract --numeric-owner --directory "$new/rootfs" ||
        fail 1 "the files could not be written"
    find "$new/rootfs/dev" -mindepth 1 -delete # LXC makes it, and mmdebstrap wants to
}

# Unpack and set up the packages. An overlay mount marked volatile spares every fsync of dpkg's; what has it fails
# as a whole when the machine does, and is then made anew. Mounts and processes are in namespaces of their own and
# so end with this script, however it ends.
make_base() {
    btrfs subvolume create "$new/rootfs" >/dev/null
    echo "installing Debian packages"
    unshare --mount --pid --fork --kill-child --mount-proc bash -euc '
        rootfs=$1 suite=$2 packages=$3 excluded=$4 build=$1/.build
        mkdir -p "$build"/{lower,upper,work,merged}
        mount -t overlay -o "volatile,lowerdir=$build/lower,upperdir=$build/upper,workdir=$build/work" none "$build/merged" ||
            mount --bind "$build/upper" "$build/merged"
        # Excluding paths by an option would make mmdebstrap filter each package by itself, which is slow.
        export excluded
        mmdebstrap --quiet --variant=minbase --include="$packages" \
            --aptopt="Acquire::Languages \"none\"" --dpkgopt=force-unsafe-io \
            --extract-hook='"'"'for d in $excluded; do
                rm -rf "$1/usr/share/$d"
                echo "path-exclude=/usr/share/$d/*" >>"$1/etc/dpkg/dpkg.cfg.d/carina"
            done'"'"' "$suite" "$build/merged"
        umount "$build/merged"
        mv "$build"/upper/* "$rootfs"
        rm -rf "$build"
    ' bootstrap "$new/rootfs" "$suite" "$packages" "$excluded" </dev/null || fail 1 "the packages could not be installed"
    write_files base
}
