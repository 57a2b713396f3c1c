# Make the table anew if it has gone while there are bridges, and say so.
compgen -G "/sys/class/net/$prefix-br*" >/dev/null || exit 0
! nft list table inet "$table" >/dev/null 2>&1 || exit 0
lock_fabric
apply_table
echo made
