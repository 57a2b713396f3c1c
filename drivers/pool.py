"""The storage pool of an instance on a host: btrfs, mounted at `root/pool`.

Where `root` lies on btrfs already, the pool is a subvolume of that. Elsewhere it is a sparse file, `root/pool.img`,
mounted through a loop device; blocks that are freed inside go back to the file system below (discard).
"""

from dataclasses import dataclass

from domain.errors import DiskFull, HostNotReady
from domain.hosts import Host
from drivers.shell import ScriptFailed, Shell

LARGEST_BYTES = 200 * 2**30
SMALLEST_BYTES = 8 * 2**30
SHARE_PERCENT = 80
_TIMEOUT_S = 120.0
_BUSY_S = 30
_NO_SPACE = 28
_STRANGER = 17

_ENSURE = f"""
set -euo pipefail
root=$1 size=$2 label=$3
# Nodes' users, whose uids are nobody's on the host, pass through these directories and see nothing of them.
mkdir -p "$root"
chmod 0711 "$root"
exec 9<"$root"; flock 9
pool=$root/pool
if mountpoint -q "$pool" || {{ [ -d "$pool" ] && [ "$(stat -f -c %T "$pool")" = btrfs ]; }}; then
  :
elif [ "$(stat -f -c %T "$root")" = btrfs ]; then
  btrfs subvolume create "$pool" > /dev/null
  echo made
else
  if [ ! -e "$pool.img" ]; then
    if [ "$size" = 0 ]; then
      free=$(df --block-size=1 --output=avail "$root" | tail -n 1)
      [ "$free" -ge {SMALLEST_BYTES} ] || {{ echo "$free bytes are free below $root" >&2; exit {_NO_SPACE}; }}
      size=$((free / 100 * {SHARE_PERCENT}))
      [ "$size" -ge {SMALLEST_BYTES} ] || size={SMALLEST_BYTES}
      [ "$size" -le {LARGEST_BYTES} ] || size={LARGEST_BYTES}
    fi
    rm -f "$pool.img.new"
    truncate -s "$size" "$pool.img.new"
    chmod 0600 "$pool.img.new"
    mkfs.btrfs --quiet --force --label "$label" "$pool.img.new" > /dev/null
    mv "$pool.img.new" "$pool.img"
    echo made
  fi
  mkdir -p "$pool"
  mount -t btrfs -o loop,noatime,discard=async "$pool.img" "$pool"
  echo mounted
fi
[ "$(stat -f -c %T "$pool")" = btrfs ] || {{ echo "$pool is not btrfs" >&2; exit {_STRANGER}; }}
mkdir -p "$pool/images" "$pool/nodes"
chmod 0711 "$pool" "$pool/images" "$pool/nodes"
"""

_UNMOUNT = f"""
set -euo pipefail
root=$1
[ -d "$root" ] || exit 0
exec 9<"$root"; flock 9
if mountpoint -q "$root/pool" && [ -e "$root/pool.img" ]; then
  # What a node had mounted below goes first, innermost first; then the loop device goes by itself.
  while read -r below; do umount "$below"; done < <(
    awk -v pool="$root/pool/" 'index($5, pool) == 1 {{print $5}}' /proc/self/mountinfo | sort -r)
  # What a killed service had begun may be ending still.
  deadline=$((SECONDS + {_BUSY_S}))
  until said=$(LC_ALL=C umount "$root/pool" 2>&1); do
    [[ $said == *busy* ]] && ((SECONDS < deadline)) || {{ echo "$said" >&2; exit 1; }}
    sleep 0.05
  done
fi
"""

_PURGE = """
set -euo pipefail
root=$1
[ -d "$root" ] || exit 0
! mountpoint -q "$root/pool" || { echo "$root/pool is mounted" >&2; exit 1; }
if [ -d "$root/pool" ] && [ "$(stat -f -c %T "$root/pool")" = btrfs ]; then
  # Innermost first: a subvolume that has others in it can't be deleted, and a read-only one can't be emptied.
  find "$root/pool" -depth -inum 256 -type d -print0 | xargs -0 --no-run-if-empty btrfs subvolume delete > /dev/null
fi
rm -rf --one-file-system "$root/pool" "$root/pool.img" "$root/pool.img.new"
# Another purge of the same home may have been quicker.
mountpoint -q "$root" || rmdir --ignore-fail-on-non-empty "$root" 2> /dev/null || [ ! -e "$root" ]
"""


@dataclass(frozen=True, slots=True)
class PoolOutcome:
    """What `ensure_pool` did."""

    made: bool
    mounted: bool


async def ensure_pool(shell: Shell, host: Host, *, label: str, size_bytes: int | None) -> PoolOutcome:
    """Make the pool unless it is there, mount it, and make its directories.

    Without `size_bytes` it may grow to 80 % of what is free now, at most 200 GiB. A file that a cut call left without
    a whole file system is made anew. Raises `DiskFull`, `HostNotReady`, `CommandFailed`.
    """
    try:
        result = await shell.run(
            _ENSURE, args=(host.root, str(size_bytes or 0), label), timeout_s=_TIMEOUT_S, what="Making the storage pool"
        )
    except ScriptFailed as error:
        if error.exit_status == _NO_SPACE:
            raise DiskFull(
                f"A storage pool needs {SMALLEST_BYTES >> 30} GiB: {error.detail}",
                remedy="Free some space, or choose a home on a larger file system.",
            ) from error
        if error.exit_status == _STRANGER:
            raise HostNotReady(error.detail, remedy="Unmount what is there, or choose another home.") from error
        raise
    done = result.text.split()
    return PoolOutcome(made="made" in done, mounted="mounted" in done)


async def unmount_pool(shell: Shell, host: Host) -> None:
    """Unmount the pool, if it is one of Carina's own files. Not mounted is no error. Raises `CommandFailed`."""
    await shell.run(_UNMOUNT, args=(host.root,), timeout_s=_TIMEOUT_S, what="Unmounting the storage pool")


async def purge_pool(shell: Shell, host: Host) -> None:
    """Remove the pool with all that is in it, and the root directory if it is empty then. Raises `CommandFailed`."""
    await shell.run(_PURGE, args=(host.root,), timeout_s=_TIMEOUT_S, what="Removing the storage pool")
