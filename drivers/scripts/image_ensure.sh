# Build the node image, unless it is there. Standard input: a tar of the files that go over the packages' own.
root=$1 digest=$2 cache=$3 suite=$4 packages=$5 excluded=$6 probe=$7 uid_base=$8
pool=$root/pool images=$pool/images
final=$images/$digest new=$images/.new-$digest
stream=$cache/$digest.btrfs.zst

[[ ! -d $final ]] || exit 0
need_pool
mkdir -p "$images"
take_lock "$images/.lock"
[[ ! -d $final ]] || exit 0

drop_container "$new" warm
drop_subvolume "$new/rootfs"
rm -rf -- "$new"
mkdir -p "$new/tmp" "$cache"
close_to_others "$new" "$uid_base"
cat >"$new/overlay.tar"
# Another instance on this machine may be building the same image: wait for what it puts in the cache.
exec {cache_lock}>"$cache/$digest.lock"
flock "$cache_lock"

from_cache() {
    [[ -e $stream && -e $stream.sha256 ]] || return 1
    echo "taking the node image from $cache"
    if (cd "$cache" && sha256sum --status --check "$stream.sha256") && zstd -dcq "$stream" | btrfs receive -q "$new"; then
        return 0
    fi
    pool_has_room || exit $DISK_FULL
    echo "what is in $cache is damaged; building the node image anew"
    rm -f -- "$stream" "$stream.sha256"
    drop_subvolume "$new/rootfs"
    return 1
}

to_cache() {
    echo "keeping the node image in $cache"
    local part=$stream.part
    btrfs send -q "$new/rootfs" | zstd -1 -T0 -qf -o "$part"
    (cd "$cache" && sha256sum "${part##*/}" | sed 's/\.part$//' >"$stream.sha256.part")
    mv -T "$part" "$stream"
    mv -T "$stream.sha256.part" "$stream.sha256"
    find "$cache" -maxdepth 1 -name '*.btrfs.zst*' ! -name "$digest.*" -mtime +30 -delete
}

# Unpack and set up the packages. An overlay mount marked volatile spares every fsync of dpkg's; what has it fails
# as a whole when the machine does, and is then made anew. Mounts and processes are in namespaces of their own and
# so end with this script, however it ends.
bootstrap() {
    export TMPDIR=$new/tmp
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
    ' bootstrap "$new/rootfs" "$suite" "$packages" "$excluded" </dev/null
}

# Boot it once as a node is booted, so that Docker has made its databases and has the probe image; then take out
# what must differ from node to node.
warm() {
    local rootfs=$new/rootfs
    mkdir -p "$new/warm" "$rootfs/var/lib/carina"
    {
        printf 'lxc.include = /usr/share/lxc/config/%s.conf\n' common userns nesting
        apparmor_config
        printf '%s\n' "lxc.mount.auto = proc:rw sys:rw cgroup:rw:force" "lxc.cap.drop =" "lxc.autodev = 1" \
            "lxc.idmap = u 0 $uid_base 65536" "lxc.idmap = g 0 $uid_base 65536" \
            "lxc.rootfs.path = dir:$rootfs" "lxc.rootfs.options = idmap=container" \
            "lxc.uts.name = warm" "lxc.net.0.type = empty"
    } >"$new/warm/config"
    echo 0123456789abcdef0123456789abcdef >"$rootfs/etc/machine-id"
    start_container "$new" warm "$rootfs"
    await_ready "$new" warm "$rootfs" 60000
    lxc-attach -P "$new" -n warm --clear-env -- /bin/bash -euc '
        mkdir -p /root/probe/bin /root/probe/tmp
        cd /root/probe
        cp /usr/bin/busybox bin/
        for applet in $(busybox --list); do
            [ "$applet" = busybox ] || ln -s busybox "bin/$applet"
        done
        tar --create --numeric-owner . | docker import --change "CMD [\"sh\"]" - "$1"
        rm -rf /root/probe
    ' probe "$probe" </dev/null >/dev/null
    lxc-stop -P "$new" -n warm -t 30
    rm -rf -- "$rootfs"/var/lib/docker/{engine-id,network} "$rootfs"/var/lib/carina/ready "$rootfs"/var/log/journal/* \
        "$rootfs"/etc/hostname "$rootfs"/etc/resolv.conf
    : >"$rootfs/etc/machine-id"
}

trap 'lxc-stop --kill -P "$new" -n warm >/dev/null 2>&1 || true' EXIT
if ! from_cache; then
    btrfs subvolume create "$new/rootfs" >/dev/null
    echo "installing Debian packages"
    bootstrap || fail 1 "the packages could not be installed"
    tar --extract --numeric-owner --directory "$new/rootfs" --file "$new/overlay.tar" || fail 1 "the files could not be written"
    rm -f "$new/rootfs"/etc/systemd/system/multi-user.target.wants/{docker,containerd}.service
    echo "starting Docker for the first time"
    warm
    btrfs property set "$new/rootfs" ro true
    to_cache || echo "it could not be kept in $cache"
fi
rm -rf -- "$new/overlay.tar" "$new/tmp" "$new/warm"
close_to_others "$new" root
mv -T "$new" "$final"
