#!/usr/bin/env bash
# Makes what the processes of a production instance share, in its home (CARINA_HOME, default /var/lib/carina):
# its identity, token, vault key and SSH key, passwords for the databases, and the API's own copy, which is the API
# user's alone.
# Run again, it changes nothing but that copy. Run it as root, after 'make setup'.
set -euo pipefail
cd "$(dirname "$0")/.."
home=${CARINA_HOME:-/var/lib/carina}
api_user=8440
umask 022  # nodes' users pass through the home to their nodes

CARINA_HOME=$home .venv/bin/python - <<'PYTHON'
from drivers.ssh_identity import ensure_identity
from drivers.vault import FileVault
from worker.home import Home
from worker.reach import own_identity
from worker.settings import Settings

settings = Settings()
home = Home(settings.home)
home.identity(settings.prefix)
home.admin_token()
FileVault(home.vault_key).seal(b"", context="")  # which makes the key
ensure_identity(own_identity(settings.home), comment="carina")
PYTHON

umask 077
# The directory is root's alone; the files are readable to the users that the containers run as, who get only theirs.
mkdir -p "$home/passwords"
for name in postgres carina-db temporal-db; do
    file=$home/passwords/$name
    [ -e "$file" ] || { tr -dc 'A-Za-z0-9' </dev/urandom | head -c 32 || true; } >"$file.new"
    [ -e "$file" ] || mv "$file.new" "$file"
    chmod 0444 "$file"
done
printf '*:*:*:carina:%s\n' "$(<"$home/passwords/carina-db")" >"$home/pgpass"

install -d -o "$api_user" -g "$api_user" -m 0700 "$home/api" "$home/api/log" "$home/api/ssh"
for name in instance.json admin-token vault.key pgpass ssh/id_ed25519 ssh/id_ed25519.pub; do
    install -o "$api_user" -g "$api_user" -m 0600 "$home/$name" "$home/api/$name"
done
