# What a host does for nodes that have a size; shared by the scripts that make, start and remove nodes.
lxcfs=/var/lib/lxcfs lxcfs_hook=/usr/share/lxcfs/lxc.mount.hook

# Write the lines of a node's size that this host can take, as config: its kernel and what is mounted may be others
# than when the node was made.
limits_config() { # node's directory
    local name value
    [[ -e $1/size ]] || return 0
    while read -r name _ value; do
        case $name in
            cpus) cpuset_config "$1" "$value" ;;
            lxc.*) ! host_limits "$name" || printf '%s = %s\n' "$name" "$value" ;;
        esac
    done <"$1/size"
    if need_lxcfs; then printf 'lxc.hook.mount = %s\n' "$lxcfs_hook"; fi
}

unified() { [[ -e /sys/fs/cgroup/cgroup.controllers ]]; }

host_limits() { # key of the config
    local file controller
    file=${1#lxc.cgroup.} file=${file#lxc.cgroup2.}
    controller=${file%%.*}
    case $1 in
        lxc.cgroup2.*.swap.max) unified && compgen -G '/sys/fs/cgroup/*/memory.swap.max' >/dev/null ;;
        lxc.cgroup2.*) unified && [[ " $(</sys/fs/cgroup/cgroup.controllers) " == *" $controller "* ]] ;;
        lxc.cgroup.*.memsw.*) [[ -e /sys/fs/cgroup/$controller/$file ]] ;; # only where swap is accounted
        *) ! unified && [[ -e /sys/fs/cgroup/$controller/cgroup.procs ]] ;;
    esac
}

# Nodes see and use as many CPUs as they have, and not all of them the first: each begins where its range of uids does.
cpuset_config() { # node's directory, how many
    local text part cpu uid_base list=() chosen=() key=lxc.cgroup.cpuset.cpus
    ! unified || key=lxc.cgroup2.cpuset.cpus
    host_limits "$key" || return 0
    if unified; then
        text=$(cat /sys/fs/cgroup/cpuset.cpus.effective 2>/dev/null) || return 0
    else
        text=$(cat /sys/fs/cgroup/cpuset/cpuset.cpus 2>/dev/null) || return 0
    fi
    for part in ${text//,/ }; do
        for ((cpu = ${part%-*}; cpu <= ${part#*-}; cpu++)); do list+=("$cpu"); done
    done
    (($2 < ${#list[@]})) || return 0
    uid_base=$(sed -n 's/^lxc\.idmap = u 0 \([0-9]*\) .*/\1/p' "$1/config")
    for ((cpu = 0; cpu < $2; cpu++)); do
        chosen+=("${list[(uid_base / 65536 * $2 + cpu) % ${#list[@]}]}")
    done
    local IFS=,
    printf '%s = %s\n' "$key" "${chosen[*]}"
}

lxcfs_answers() { [[ -s $lxcfs/proc/meminfo ]] && mountpoint -q "$lxcfs"; }

# lxcfs is one for the whole machine. One that runs is left alone: containers that use it can't be given another.
need_lxcfs() {
    ! lxcfs_answers || return 0
    [[ -x $lxcfs_hook ]] && command -v lxcfs >/dev/null || return 1
    (
        exec {one}>/run/lock/carina-lxcfs
        flock --wait 20 "$one" || exit 1
        ! lxcfs_answers || exit 0
        # One that died left its mount, at which nothing can be mounted.
        [[ -d $lxcfs/. ]] || ! grep -q " $lxcfs fuse" /proc/self/mounts || umount --lazy "$lxcfs"
        mkdir -p "$lxcfs"
        if [[ -d /run/systemd/system ]]; then
            # Debian's unit is not for containers, which hosts may be; it says nothing of not having started there.
            systemctl start lxcfs.service >/dev/null 2>&1 || true
            ! await_lxcfs 50 || exit 0
            systemd-run --quiet --collect --unit carina-lxcfs --property OOMScoreAdjust=-1000 \
                lxcfs "$lxcfs" >/dev/null 2>&1 || exit 1
        else
            (
                hold_nothing
                echo -1000 >/proc/self/oom_score_adj
                exec setsid lxcfs "$lxcfs" </dev/null >/dev/null 2>&1
            ) &
        fi
        await_lxcfs 300
    )
}

await_lxcfs() { # hundredths of a second
    local left=$1
    until lxcfs_answers; do
        ((left-- > 0)) || return 1
        wait_a_little
    done
}

# A node's own group of quotas: level 202, and as its number that of the node's subvolume. With simple quotas those of
# subvolumes made inside the node become its members by themselves.
quota_level=202

quota_mode() {
    local groups
    groups=/sys/fs/btrfs/$(findmnt --noheadings --output UUID --target "$pool")/qgroups
    [[ -e $groups/enabled ]] || return 0
    cat "$groups/mode" 2>/dev/null || echo qgroup
}

# Simple quotas, or what the kernel has. On a file system that is not the pool's alone that is its owner's to decide.
enable_quotas() {
    mountpoint -q "$pool" || return 1
    switch_quota "$pool" simple 2>/dev/null || switch_quota "$pool" full
}

limit_disk() { # node's directory
    local bytes id mode
    bytes=$(sed -n 's/^disk = //p' "$1/size")
    [[ -n $bytes ]] || return 0
    mode=$(quota_mode)
    if [[ -z $mode ]]; then
        enable_quotas || return 0
        mode=$(quota_mode)
    fi
    sweep_quotas
    id=$(btrfs inspect-internal rootid "$1/rootfs")
    if [[ $mode == squota ]]; then
        btrfs qgroup create "$quota_level/$id" "$pool" && btrfs qgroup assign "0/$id" "$quota_level/$id" "$pool" &&
            btrfs qgroup limit "$bytes" "$quota_level/$id" "$pool"
    else
        # What the node shares with its image does not count: only what is its alone.
        btrfs qgroup limit -e "$bytes" "0/$id" "$pool"
    fi
}

# A subvolume of a group that is full can't be deleted: even that takes room.
lift_disk_limit() { # node's directory
    local id mode
    [[ -e $1/size && -e $1/rootfs ]] && grep -q '^disk = ' "$1/size" || return 0
    mode=$(quota_mode)
    id=$(btrfs inspect-internal rootid "$1/rootfs")
    case $mode in
        squota) btrfs qgroup limit none "$quota_level/$id" "$pool" 2>/dev/null || true ;;
        ?*) btrfs qgroup limit -e none "0/$id" "$pool" 2>/dev/null || true ;;
    esac
}

# Groups outlive their subvolumes, until the file system has freed all that was in those: so whoever makes or removes a
# node looks for the groups of former ones.
sweep_quotas() {
    local group id groups
    groups=$(btrfs qgroup show "$pool" 2>/dev/null) || return 0
    for group in $(awk -v level="$quota_level" '$1 ~ "^" level "/" {print $1}' <<<"$groups"); do
        id=${group#*/}
        ! btrfs inspect-internal subvolid-resolve "$id" "$pool" >/dev/null 2>&1 || continue
        btrfs qgroup destroy "0/$id" "$pool" >/dev/null 2>&1 || true
        btrfs qgroup destroy "$group" "$pool" >/dev/null 2>&1 || true
    done
}
