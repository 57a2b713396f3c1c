# A layer on the base; what is particular to a kind of node is in furnish, stock and forget.

make_kind() {
    btrfs subvolume snapshot "$images/$base/rootfs" "$new/rootfs" >/dev/null
    echo "adding Debian packages"
    unshare --mount --pid --fork --kill-child --mount-proc \
        mmdebstrap --quiet --variant=custom --skip=check/empty --include="$packages" \
        --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io "$suite" "$new/rootfs" </dev/null ||
        fail 1 "the packages could not be installed"
    furnish "$new/rootfs"
    write_files kind
    echo "starting it for the first time"
    warm
}

# Run a piece of bash in the container that is made once from the image.
in_warm() { # script, arguments
    lxc-attach -P "$new" -n warm --clear-env -- /bin/bash -euo pipefail -c "$1" warm "${@:2}" </dev/null >/dev/null
}

# Boot it once as a node is booted, so that its daemons have made their databases and have the probe image, of
# busybox and its names; then take out what must differ from node to node.
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
    in_warm '
        mkdir -p /root/probe/bin /root/probe/tmp
        cp /usr/bin/busybox /root/probe/bin/
        for applet in $(busybox --list); do
            [ "$applet" = busybox ] || ln -s busybox "/root/probe/bin/$applet"
        done
    '
    stock
    in_warm 'rm -rf /root/probe'
    lxc-stop -P "$new" -n warm -t 30
    forget "$rootfs"
    rm -rf -- "$rootfs"/var/lib/carina/ready "$rootfs"/var/log/journal/* "$rootfs"/etc/{hostname,resolv.conf}
    : >"$rootfs/etc/machine-id"
}
