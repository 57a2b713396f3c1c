# Put the stream of an image into the cache of a host: standard input is the stream from byte number $5 on.
cache=$1 digest=$2 sum=$3 size=$4 offset=$5
stream=$cache/$digest.btrfs.zst part=$stream.part-$sum
have=0 MOVED_ON=72
mkdir -p "$cache"
# One at a time, and none while an image is made of it; having waited, see what the other one has done.
exec {lock}>"$cache/$digest.lock"
flock "$lock"
if [[ -e $stream && $(head -c 64 "$stream.sha256" 2>/dev/null) == "$sum" ]]; then
    exit
fi
[[ ! -e $part ]] || have=$(stat --format=%s "$part")
((have == offset)) || exit $MOVED_ON
find "$cache" -maxdepth 1 -name "$digest.btrfs.zst.part-*" ! -name "*-$sum" -delete
free=$(($(stat --file-system --format='%a*%S' "$cache")))
if ((free < size - have + 32 * 1024 * 1024)); then
    echo "$((size - have)) bytes are to come into $cache, where $free are free" >&2
    exit $DISK_FULL
fi
cat >>"$part"
(($(stat --format=%s "$part") == size)) || exit $MOVED_ON
# Whether it is what was sent is seen when an image is made of it, as with all that is in the cache.
rm -f "$stream.sha256"
mv -T "$part" "$stream"
printf '%s  %s\n' "$sum" "${stream##*/}" >"$stream.sha256.part"
mv -T "$stream.sha256.part" "$stream.sha256"
