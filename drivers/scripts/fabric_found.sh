# List bridges, those that are only kept too, a line each: name, and what it says of itself.
for path in /sys/class/net/"$prefix"-br*; do
    [[ -e $path/bridge ]] || continue
    # One that went away meanwhile is one that is not found.
    said=$(cat "$path/ifalias" 2>/dev/null) || continue
    printf '%s %s\n' "${path##*/}" "$said"
done
for path in "$state"/segments/"$prefix"-br*; do
    [[ -e $path && ! -e /sys/class/net/${path##*/}/bridge ]] || continue
    said=$(sed -n 's/^alias //p' "$path" 2>/dev/null) || continue
    printf '%s %s\n' "${path##*/}" "$said"
done
