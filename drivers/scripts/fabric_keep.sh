# Keep what standard input says under a name, and make the table anew with it.
name=$3
mapfile -t lines
mkdir -p -m 0711 "$root"
lock_fabric
keep "$name" "$(printf '%s\n' "${lines[@]}")"
apply_table
