# Becomes the script $3, with the arguments after it, leading a process group of its own; beside it, a watch ends
# that group when the keeper of the connection ($2: its process id) has gone. What detached itself lives on.
# $1: the mark that stands before the script's own output, together with its process id.
read -r _ _ _ _ group _ < "/proc/$$/stat"
[[ $group == "$$" ]] || exec setsid --wait bash --norc -c "$BASH_EXECUTION_STRING" "$0" "$@"

watch() {
    local idle
    exec {idle}<> <(:)       # a pipe that never has anything to read: a wait without a process of its own
    cd "/proc/$$" || return  # the directory of this very process: another one with the same id has another
    while [[ -e stat ]]; do
        [[ -e /proc/self/fd/$keeper/stat ]] || { end_group $$; break; }
        read -r -t 1 -u "$idle"
    done
}

exec {keeper}< "/proc/$2"
(set -m; watch < /dev/null &> /dev/null &)

export LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 022
cd /
mark=$1 script=$3
shift 3
printf '%s %d\n' "$mark" $$
printf '%s %d\n' "$mark" $$ >&2
exec bash --norc -c "$script" carina "$@" {keeper}<&-
