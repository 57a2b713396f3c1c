# Forget what an image that is not there yet was to be made of: its base is of another descent than what was sent.
root=$1 cache=$2 base=$3 kind=$4
pool=$root/pool images=$pool/images
need_pool
for digest in "$base" "$kind"; do
    exec {cache_lock}>"$cache/$digest.lock"
    flock "$cache_lock"
    rm -f "$cache/$digest".btrfs.zst*
done
[[ ! -d $images/$kind/rootfs ]] || exit 0
take_lock "$images/.lock-$base" 900
drop_container "$images" "$base"
