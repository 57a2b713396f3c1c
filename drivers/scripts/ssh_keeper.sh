# Lives as long as a connection does: the scripts of the connection watch it, and end when it has gone.
# $1: the mark before its first word; $2: after how many seconds of silence the connection counts as cut.
# Reads "end GROUP" (answered with "ended GROUP"), and anything else as a sign of life.
printf '%s %d\n' "$1" $$
while IFS=' ' read -r -t "$2" order group; do
    if [[ $order == end ]]; then
        { end_group "$group"; printf 'ended %d\n' "$group"; } &
    fi
done
