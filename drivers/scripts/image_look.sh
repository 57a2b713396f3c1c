# Say whether an image is on the host, and if not, what there is to make it of.
root=$1 cache=$2 base=$3 kind=$4
pool=$root/pool images=$pool/images
need_pool
if [[ -d $images/$kind/rootfs ]]; then
    touch --no-create "$images/$base" "$images/$kind"
    echo there
    exit
fi
for digest in "$base" "$kind"; do
    stream=$cache/$digest.btrfs.zst
    [[ ! -d $images/$digest/rootfs ]] || echo "made $digest"
    if [[ -e $stream && -e $stream.sha256 ]]; then
        echo "whole $digest $(head -c 64 "$stream.sha256")"
    fi
    for part in "$stream.part-"*; do
        [[ ! -e $part ]] || echo "part $digest ${part##*-} $(stat --format=%s "$part")"
    done
done
