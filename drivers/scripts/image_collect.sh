# Remove images that nothing is made of any more from the pool and the cache, and write their digests.
root=$1 cache=$2 grace_min=$3
keep=" ${*:4} "
pool=$root/pool images=$pool/images

is_kept() { [[ $keep == *" $1 "* ]]; }
is_old() { [[ -n $(find "$1" -maxdepth 0 -mmin "+$grace_min" 2>/dev/null) ]]; }
is_used() { grep -qs "\"$1\"" "$pool"/nodes/{*,.new-*}/stamp.json; }

if [[ -d $images ]]; then
    while read -r path; do
        digest=${path##*/}
        digest=${digest#.new-}
        ! is_kept "$digest" || continue
        ! is_used "$digest" || continue
        take_lock "$images/.lock-$digest" 900
        if ! is_old "$path" || is_used "$digest"; then # asked for while this waited
            exec {lock}>&-
            continue
        fi
        drop_container "$path" warm # of a build that was cut
        drop_container "$images" "${path##*/}"
        rm -f "$images/.lock-$digest"
        echo "$digest"
    done < <(find "$images" -mindepth 1 -maxdepth 1 -type d -mmin "+$grace_min")
fi
[[ -d $cache ]] || exit 0
while read -r path; do
    digest=${path##*/}
    digest=${digest%%.*}
    ! is_kept "$digest" || continue
    rm -f "$path"
    [[ $path != *.btrfs.zst ]] || echo "$digest"
done < <(find "$cache" -maxdepth 1 -type f \( -name '*.btrfs.zst*' -o -name '*.lock' \) -mmin "+$grace_min")
