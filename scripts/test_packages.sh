#!/usr/bin/env bash
# Installs the Debian packages that the tests on real parts need, where they are missing.
set -euo pipefail

packages=(btrfs-progs curl fish iproute2 lxc mmdebstrap nftables openssl postgresql procps uidmap zsh zstd)
missing=()
for package in "${packages[@]}"; do
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

echo "Installing for the tests: ${missing[*]}"
# The tests run PostgreSQL servers of their own: Debian's own need not be made.
mkdir -p /etc/postgresql-common
[[ -e /etc/postgresql-common/createcluster.conf ]] || echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y "${missing[@]}" > /dev/null
