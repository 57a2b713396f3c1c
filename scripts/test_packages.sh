#!/usr/bin/env bash
# Installs the Debian packages that the tests on real parts need, and those named as arguments, where they are missing.
set -euo pipefail

packages=(apparmor btrfs-progs busybox-static curl fish iproute2 lxc lxcfs mmdebstrap nftables openssh-client openssh-server openssl postgresql procps sudo uidmap zsh zstd "$@")
missing=()
for package in "${packages[@]}"; do
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

echo "Installing for the tests: ${missing[*]}"
# The tests run PostgreSQL servers of their own: Debian's own need not be made.
mkdir -p /etc/postgresql-common
[[ -e /etc/postgresql-common/createcluster.conf ]] || echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
# Nor does a test need the machine's own sshd, on a machine that had none (Debian's sshd starts unless this file is there).
[[ -e /etc/ssh/sshd_config ]] || { mkdir -p /etc/ssh && touch /etc/ssh/sshd_not_to_be_run; }
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y "${missing[@]}" > /dev/null
