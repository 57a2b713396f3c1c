# Make a node image unless it is there: the base, and on a snapshot of it what one kind of node adds.
# Standard input: a tar of base.tar and kind.tar, the files that go over the packages' own.
root=$1 cache=$2 uid_base=$3 suite=$4 excluded=$5 probe=$6 release=$7
base=$8 base_packages=$9 kind=${10} kind_packages=${11}
pool=$root/pool images=$pool/images

# Make one image in a subshell, whose end sets its locks free: what is half-made never has the image's name.
ensure() ( # how to make it, digest, parent's digest or nothing, packages
    final=$images/$2 new=$images/.new-$2 packages=$4
    [[ ! -d $final/rootfs ]] || exit 0
    take_lock "$images/.lock-$2" 900
    [[ ! -d $final/rootfs ]] || exit 0
    trap 'lxc-stop --kill -P "$new" -n warm >/dev/null 2>&1 || true' EXIT
    drop_container "$new" warm
    drop_subvolume "$new/rootfs"
    rm -rf -- "$new"
    mkdir -p "$new/tmp" "$cache"
    close_to_others "$new" "$uid_base"
    printf '%s' "$files" | base64 -d >"$new/files.tar"
    export TMPDIR=$new/tmp
    # Another instance on this machine may be building the same image: wait for what it puts in the cache.
    exec {cache_lock}>"$cache/$2.lock"
    flock "$cache_lock"
    if ! from_cache "$2"; then
        "$1"
        btrfs property set "$new/rootfs" ro true
        to_cache "$2" "$3" || echo "it could not be kept in $cache"
    fi
    rm -rf -- "$new/files.tar" "$new/tmp" "$new/warm"
    close_to_others "$new" root
    mv -T "$new" "$final"
)

# Remove images that nobody has asked for in a month, and that no node was made from.
drop_old() {
    local old
    while read -r old; do
        grep -qs "\"${old##*/}\"" "$pool"/nodes/*/stamp.json || drop_container "$images" "${old##*/}"
    done < <(find "$images" -mindepth 1 -maxdepth 1 -type d ! -name '.*' ! -name "$base" ! -name "$kind" -mtime +30)
}

need_pool
if [[ ! -d $images/$kind/rootfs ]]; then
    mkdir -p "$images"
    files=$(base64 -w 0)
    ensure make_base "$base" '' "$base_packages"
    ensure make_kind "$kind" "$base" "$kind_packages"
    drop_old
fi
touch --no-create "$images/$base" "$images/$kind"
