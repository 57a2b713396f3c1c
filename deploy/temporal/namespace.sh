#!/bin/sh
# Makes Carina's namespace on a Temporal server, with the search attributes that its workflows carry. The server's
# address and the namespace are in TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE. Run again, it changes nothing.
set -eu

tries=0
until_done() { # what is waited for, command
    what=$1
    shift
    until said=$("$@" 2>&1); do
        tries=$((tries + 1))
        [ "$tries" -lt 120 ] || { echo "$what: $said" >&2; exit 1; }
        sleep 0.5
    done
}

until_done "the server at $TEMPORAL_ADDRESS does not answer" temporal operator cluster health

temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
    temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 720h

# The server knows a new namespace only some seconds later.
for name in CarinaCluster CarinaTenant CarinaOperation; do
    until_done "search attribute $name" \
        temporal operator search-attribute create --namespace "$TEMPORAL_NAMESPACE" --name "$name" --type Keyword
done
