# Shared by the scripts that run on hosts; put in front of each of them.
set -euo pipefail
export LC_ALL=C
umask 022

# Exit statuses that mean something to the driver. 28 is ENOSPC.
DISK_FULL=28 STRANGER=65 NO_IMAGE=66 NOT_STARTED=67 DOCKER_SILENT=68 NO_POOL=69 NO_UIDS=70 BUSY=71

# How long lxc-start may take, in seconds. It takes a fraction of one.
START_S=20
# How long it may take a container's monitor to answer, in seconds. It takes milliseconds, or for ever: it takes calls
# from when a start begins, and answers them when the container runs. lxc-* have no bound of their own on that.
ANSWER_S=5
UNANSWERED=124 # by timeout(1)

fail() { # status, message
    [[ ! -d ${pool:-} ]] || pool_has_room || exit $DISK_FULL
    printf '%s\n' "$2" >&2
    exit "$1"
}

pool_has_room() {
    local free
    free=$(stat --file-system --format='%a*%S' "$pool")
    ((free > 32 * 1024 * 1024))
}

need_pool() {
    [[ -d $pool && $(stat --file-system --format=%T "$pool") == btrfs ]] || { echo "$pool is no btrfs" >&2; exit $NO_POOL; }
}

# An open file from which nothing ever comes: reading it with a timeout waits without starting a process.
exec {never}<> <(:)
wait_a_little() { read -r -t 0.01 -u "$never" || true; }

now_ms() { now=${EPOCHREALTIME/./}; now=$((now / 1000)); }

# Take the lock at a path, whose file may be removed by the one who holds it.
take_lock() { # path, seconds to wait, if not a minute
    while :; do
        exec {lock}>"$1"
        flock --wait "${2:-60}" "$lock" || fail $BUSY "another call has held $1 for ${2:-60} s"
        [[ $1 -ef /proc/self/fd/$lock ]] && return
        exec {lock}>&-
    done
}

drop_subvolume() { # path below the pool
    [[ -e $1 ]] || return 0
    ! btrfs subvolume delete "$1" >/dev/null 2>&1 || return 0
    # Subvolumes inside it go first: Docker may have made some. Their paths are told from the file system's top.
    local inner below=${1#"$pool"/}/
    while read -r inner; do
        drop_subvolume "$1/${inner#*"$below"}"
    done < <(btrfs subvolume list -o "$1" | sed 's/.* path //')
    btrfs subvolume delete "$1" >/dev/null
}

# Remove a container's directory, or what there is of it, running or not.
drop_container() { # lxcpath, name
    local dir=$1/$2
    [[ -e $dir ]] || return 0
    if [[ -e $dir/config ]]; then
        end_container "$1" "$2"
    fi
    lift_disk_limit "$dir"
    drop_subvolume "$dir/rootfs"
    rm -rf -- "$dir"
}

end_container() { # lxcpath, name
    if answers "$1" "$2"; then
        # It comes back when the last process has gone; it fails if the container does not run.
        timeout --foreground 30 lxc-stop --kill -P "$1" -n "$2" >/dev/null 2>&1 || true
    else
        end_monitor "$1" "$2"
    fi
    await_state "$1" "$2" STOPPED 10 || fail $BUSY "container $2 does not stop"
}

is_running() { # lxcpath, name; the caller holds its lock
    # One that is just starting, or stopping, first comes to where it goes.
    await_state "$1" "$2" 'RUNNING|STOPPED' 25 || fail $BUSY "container $2 hangs in a change"
    [[ $(lxc-info -P "$1" -n "$2" -s -H 2>/dev/null) != STOPPED ]]
}

# Return whether a container came to one of the states in time. One that hangs in a change is ended, and so comes to be
# stopped: whoever began that change has gone, or has waited for it long enough. One whose init runs is left alone.
await_state() { # lxcpath, name, states, seconds
    local status=0
    timeout --foreground $(($4 + ANSWER_S)) lxc-wait -P "$1" -n "$2" -s "$3" -t "$4" >/dev/null 2>&1 || status=$?
    ((status != 0)) || return 0
    ! init_runs "$1" "$2" || return 1
    end_monitor "$1" "$2"
    timeout --foreground $ANSWER_S lxc-wait -P "$1" -n "$2" -s "$3" -t 0 >/dev/null 2>&1
}

answers() { # lxcpath, name
    local status=0
    timeout --foreground $ANSWER_S lxc-info -P "$1" -n "$2" -s -H >/dev/null 2>&1 || status=$?
    ((status != UNANSWERED))
}

# Return whether a container has an init of its own: a child of its monitor that has left both the host's processes
# and LXC's program.
init_runs() { # lxcpath, name
    local monitor pid parent
    while read -r monitor; do
        while read -r pid parent; do
            [[ $parent == "$monitor" && -e /proc/$pid/exe ]] || continue
            [[ /proc/$pid/exe -ef /proc/$monitor/exe || /proc/$pid/ns/pid -ef /proc/self/ns/pid ]] || return 0
        done < <(started_by "$monitor")
    done < <(monitors "$1" "$2")
    return 1
}

# End a container's monitor with all that it has started, hooks too, and remove the cgroups that it would have removed.
end_monitor() { # lxcpath, name
    local monitor pid pids dir left tries=200
    while read -r monitor; do
        pids=("$monitor")
        while read -r pid _; do
            pids+=("$pid")
        done < <(started_by "$monitor")
        kill -KILL "${pids[@]}" 2>/dev/null || true
    done < <(monitors "$1" "$2")
    while ((tries--)); do
        left=
        for dir in /sys/fs/cgroup/{,*/}lxc.{monitor,payload}."$2"{,-[0-9]*}; do
            [[ ! -d $dir ]] || find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null || left=yes
        done
        [[ $left ]] || break
        wait_a_little
    done
}

# The pids of a container's monitors, a line each.
monitors() { # lxcpath, name
    local process title
    for process in /proc/[0-9]*; do
        # What nodes run is none of it, and may keep a reader of its arguments waiting.
        [[ $process/ns/pid -ef /proc/self/ns/pid ]] || continue
        IFS= read -r -d '' -n 4096 title 2>/dev/null <"$process/cmdline" || continue
        [[ $title != "[lxc monitor] $1 $2" ]] || printf '%s\n' "${process##*/}"
    done
}

# What a process has started, a line each, with its parent: the session that it leads, and children with others.
started_by() { # pid
    local process fields parent session
    for process in /proc/[0-9]*; do
        read -r fields 2>/dev/null <"$process/stat" || continue
        read -r _ parent _ session _ <<<"${fields##*) }" # proc(5): after the name in brackets
        [[ ${process##*/} == "$1" || ($session != "$1" && $parent != "$1") ]] || printf '%s\n' "${process##*/} $parent"
    done
}

# Name the containers that run, a line each.
running_containers() { # lxcpath
    local dir status=0
    timeout --foreground $ANSWER_S lxc-ls -P "$1" --running -1 || status=$?
    ((status == UNANSWERED)) || return "$status"
    # One that hangs in its start, and so does not run, holds up the whole list.
    for dir in "$1"/*; do
        name_if_running "$1" "${dir##*/}" &
    done
    wait
}

name_if_running() { # lxcpath, name
    local state status=0
    state=$(timeout --foreground $ANSWER_S lxc-info -P "$1" -n "$2" -s -H 2>/dev/null) || status=$?
    if ((status == UNANSWERED)); then
        ! init_runs "$1" "$2" || printf '%s\n' "$2"
    elif ((status == 0)) && [[ $state != STOPPED ]]; then
        printf '%s\n' "$2"
    fi
}

# On disk a container's root is the host's root (the mount is mapped, not the files), so what is setuid inside must
# not be reached by the host's users. The container's own root, whose uid owns the directory, has to pass through.
close_to_others() { # directory, user
    chown "$2:root" "$1"
    chmod 0700 "$1"
}

# What a host with AppArmor needs in the config of a container that makes images, and one without.
apparmor_config() {
    if [[ $(cat /sys/module/apparmor/parameters/enabled 2>/dev/null) == Y ]]; then
        printf 'lxc.apparmor.profile = generated\nlxc.apparmor.allow_nesting = 1\n'
    else
        printf 'lxc.apparmor.profile = unconfined\n'
    fi
}

# For a subshell that becomes a daemon: it must hold none of this script's files, neither locks nor output.
hold_nothing() {
    local fd
    for fd in /proc/self/fd/*; do
        fd=${fd##*/}
        ((fd < 3)) || eval "exec $fd>&-"
    done
}

# Start a container, with what this host, as it is now, has for it added to its config. When its engine is ready,
# docker.service or, on Kubernetes, containerd.service touches a file.
start_container() { # lxcpath, name, rootfs
    local dir=$1/$2 status=0
    rm -f "$3/var/lib/carina/ready" "$dir/log"
    {
        printf '%s\n' "$(<"$dir/config")"
        profile_config "$dir" "$2" || fail $NOT_STARTED "its AppArmor profile was not loaded"
        limits_config "$dir"
    } >"$dir/config.host"
    (
        hold_nothing
        exec timeout --foreground --kill-after 5 $START_S \
            lxc-start -P "$1" -n "$2" -f "$dir/config.host" -d -o "$dir/log" -l ERROR </dev/null >/dev/null 2>&1
    ) || status=$?
    case $status in
        0) ;;
        "$UNANSWERED" | 137) # killed
            end_container "$1" "$2"
            fail $NOT_STARTED "lxc-start did not come back within $START_S s; $(tail -c 1500 "$dir/log" 2>/dev/null)"
            ;;
        *) fail $NOT_STARTED "$(tail -c 1500 "$dir/log" 2>/dev/null)" ;;
    esac
}

await_ready() { # lxcpath, name, rootfs, timeout_ms
    local pid deadline
    pid=$(lxc-info -P "$1" -n "$2" -p -H 2>/dev/null) || pid=
    now_ms
    deadline=$((now + $4))
    until [[ -e $3/var/lib/carina/ready ]]; do
        [[ -n $pid && -d /proc/$pid ]] || fail $NOT_STARTED "it ended at once: $(tail -c 1500 "$1/$2/log" 2>/dev/null)"
        now_ms
        ((now < deadline)) || fail $DOCKER_SILENT "$(engine_journal "$1" "$2")"
        wait_a_little
    done
}

engine_journal() { # lxcpath, name
    timeout 5 lxc-attach -P "$1" -n "$2" --clear-env -- \
        journalctl --unit docker.service --unit containerd.service --lines 12 --no-pager --output cat </dev/null 2>&1 | tail -c 1500
}
