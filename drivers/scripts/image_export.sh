# Keep an image and its base, which are there, in the cache: unless they are, or in any case.
root=$1 cache=$2 base=$3 kind=$4 always=$5
pool=$root/pool images=$pool/images
need_pool

export_image() { # digest, parent's digest or nothing
    local new=$images/$1
    exec {cache_lock}>"$cache/$1.lock"
    flock "$cache_lock"
    [[ $always != yes && -e $(stream_of "$1") && -e $(stream_of "$1").sha256 ]] || to_cache "$1" "$2"
    exec {cache_lock}>&-
}

mkdir -p "$cache"
export_image "$base" ''
export_image "$kind" "$base"
