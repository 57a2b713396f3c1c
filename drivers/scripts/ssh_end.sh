# What both the keeper of a connection and the watch over a script do.

# Ends process group $1: politely, then not; waits, within a bound, until none of it is left.
end_group() {
    local signal
    for signal in TERM KILL; do
        kill -s "$signal" -- "-$1" || return 0
        for ((i = 0; i < 100; i++)); do
            kill -0 -- "-$1" || return 0
            sleep 0.02
        done
    done
} 2> /dev/null
