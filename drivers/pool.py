"""The storage pool of an instance on a host: btrfs, mounted at `root/pool`.

On a block device that the operator named for it, the pool is that. Where `root` lies on btrfs already, it is a
subvolume of that. Elsewhere it is a sparse file, `root/pool.img`, mounted through a loop device. Blocks that are freed
inside go back to what is below (discard). A btrfs that the operator mounted at `root/pool` is taken as it is.
"""

from dataclasses import dataclass

from domain.errors import CarinaError, DiskFull, HostNotReady
from domain.hosts import Host
from domain.instance import Instance
from drivers.image_recipe import part
from drivers.shell import ScriptFailed, Shell
from drivers.steps import Step

LARGEST_BYTES = 200 * 2**30
SMALLEST_BYTES = 8 * 2**30
SHARE_PERCENT = 80
_TIMEOUT_S = 120.0
_BUSY_S = 30
_NO_SPACE = 28
_STRANGER = 40
_BAD_DEVICE = 41
_LOST = 42

_OURS = """
is_btrfs() { [ "$(stat -f -c %T "$1" 2> /dev/null)" = btrfs ]; }
tag() { blkid --probe --match-tag "$1" --output value "$2" || true; }
on_device() { [ "$(tag TYPE "$1")" = btrfs ] && [ "$(tag LABEL "$1")" = "$label" ]; }
# A mounted pool is ours to unmount if it is our file, or has our label.
is_ours() { [ -e "$pool.img" ] || [ "$(btrfs filesystem label "$pool" 2> /dev/null)" = "$label" ]; }
"""

_ENSURE = f"""
# $1: 'do', or 'tell' what would be done. Writes what kind of pool is made, and whether it is mounted.
set -euo pipefail
mode=$1 root=$2 size=$3 label=$4 device=$5
pool=$root/pool
{_OURS}
if [ "$mode" = do ]; then
  # Nodes' users, whose uids are nobody's on the host, pass through these directories and see nothing of them.
  mkdir -p "$root"
  chmod 0711 "$root"
  exec 9<"$root"; flock 9
fi
below=$root
while [ ! -d "$below" ]; do below=$(dirname "$below"); done

check_device() {{
  local name has
  [ -b "$device" ] || {{ echo "$device is no block device" >&2; exit {_BAD_DEVICE}; }}
  ! on_device "$device" || return 0
  name=$(basename "$(readlink -f "$device")")
  if has=$(blkid --probe --output export "$device") || [ $? != 2 ]; then
    echo "$device has something on it:" $(grep -E '^(TYPE|PTTYPE|LABEL|UUID)=' <<< "$has") >&2
    exit {_BAD_DEVICE}
  fi
  if [ -n "$(ls -d "/sys/class/block/$name/$name"* "/sys/class/block/$name/holders/"* 2> /dev/null)" ]; then
    echo "$device has partitions, or something else stands on it" >&2
    exit {_BAD_DEVICE}
  fi
}}

choose_size() {{
  local free
  free=$(df --block-size=1 --output=avail "$below" | tail -n 1)
  [ "$free" -ge {SMALLEST_BYTES} ] || {{ echo "$free bytes are free below $root" >&2; exit {_NO_SPACE}; }}
  size=$((free / 100 * {SHARE_PERCENT}))
  [ "$size" -ge {SMALLEST_BYTES} ] || size={SMALLEST_BYTES}
  [ "$size" -le {LARGEST_BYTES} ] || size={LARGEST_BYTES}
}}

mount_pool() {{ # options, what
  mkdir -p "$pool"
  mount -t btrfs -o "$1noatime,discard=async" "$2" "$pool"
}}

{part("pool_kept")}
if mountpoint -q "$pool"; then
  :
elif [ -e "$root/state/pool" ]; then
  echo mounted
  [ "$mode" = tell ] || mount_kept || exit {_LOST}
elif [ -z "$device" ] && [ -d "$pool" ] && is_btrfs "$pool"; then
  :
elif [ -e "$pool.img" ]; then
  echo mounted
  [ "$mode" = tell ] || mount_pool loop, "$pool.img"
elif [ -n "$device" ]; then
  check_device
  if ! on_device "$device"; then
    echo made device
    [ "$mode" = tell ] || mkfs.btrfs --quiet --label "$label" "$device" > /dev/null
  fi
  echo mounted
  [ "$mode" = tell ] || mount_pool '' "$device"
elif is_btrfs "$below"; then
  echo made subvolume
  [ "$mode" = tell ] || btrfs subvolume create "$pool" > /dev/null
else
  [ "$size" != 0 ] || choose_size
  echo made file "$size"
  if [ "$mode" = do ]; then
    rm -f "$pool.img.new"
    truncate -s "$size" "$pool.img.new"
    chmod 0600 "$pool.img.new"
    mkfs.btrfs --quiet --force --label "$label" "$pool.img.new" > /dev/null
    mv "$pool.img.new" "$pool.img"
    mount_pool loop, "$pool.img"
  fi
  echo mounted
fi
[ "$mode" = do ] || exit 0
is_btrfs "$pool" || {{ echo "$pool is not btrfs" >&2; exit {_STRANGER}; }}
mkdir -p "$pool/images" "$pool/nodes"
chmod 0711 "$pool" "$pool/images" "$pool/nodes"
"""

_UNMOUNT = f"""
set -euo pipefail
root=$1 label=$2
pool=$root/pool
{_OURS}
[ -d "$root" ] || exit 0
exec 9<"$root"; flock 9
if mountpoint -q "$pool" && is_ours; then
  # What a node had mounted below goes first, innermost first; then the loop device goes by itself.
  while read -r below; do umount "$below"; done < <(
    awk -v pool="$pool/" 'index($5, pool) == 1 {{print $5}}' /proc/self/mountinfo | sort -r)
  # What a killed service had begun may be ending still.
  deadline=$((SECONDS + {_BUSY_S}))
  until said=$(LC_ALL=C umount "$pool" 2>&1); do
    [[ $said == *busy* ]] && ((SECONDS < deadline)) || {{ echo "$said" >&2; exit 1; }}
    sleep 0.05
  done
fi
"""

_PURGE = f"""
set -euo pipefail
root=$1 label=$2 device=$3
pool=$root/pool
{_OURS}
[ -d "$root" ] || exit 0
made=("$pool" "$pool.img" "$pool.img.new")
if mountpoint -q "$pool"; then
  ! is_ours || {{ echo "$pool is mounted" >&2; exit 1; }}
  made=("$pool/images" "$pool/nodes") # the operator's: what else is there is none of Carina's
fi
if [ -d "$pool" ] && is_btrfs "$pool"; then
  # Innermost first: a subvolume that has others in it can't be deleted, and a read-only one can't be emptied.
  for path in "${{made[@]}}"; do
    [ ! -d "$path" ] || find "$path" -depth -inum 256 -type d -print0
  done | xargs -0 --no-run-if-empty btrfs subvolume delete > /dev/null
fi
rm -rf --one-file-system "${{made[@]}}"
[ -z "$device" ] || [ ! -b "$device" ] || ! on_device "$device" || wipefs --quiet --all "$device" > /dev/null
# Another purge of the same home may have been quicker.
mountpoint -q "$root" || rmdir --ignore-fail-on-non-empty "$root" 2> /dev/null || [ ! -e "$root" ]
"""


@dataclass(frozen=True, slots=True)
class PoolOutcome:
    """What was done for the pool, or has to be. `made` is `file`, `device` or `subvolume`, or empty if it was there."""

    made: str
    mounted: bool
    bytes: int = 0
    """The size of a file that is made, else 0."""


def label_of(instance: Instance) -> str:
    """Return the label that a file system of the instance has."""
    return f"carina-{instance.prefix}"


def pool_step(host: Host, *, label: str, size_bytes: int | None, dry: bool = False) -> Step:
    """Return the step that makes the pool unless it is there, mounts it, and makes its directories.

    Without `size_bytes` a file may grow to 80 % of what is free now, at most 200 GiB. One that a cut call left without
    a whole file system is made anew. A device is only taken if it is empty, or has a pool of the instance's. A `dry`
    step changes nothing. Read what it writes with `pool_outcome`, and its failures with `pool_failure`.
    """
    mode = "tell" if dry else "do"
    args = (mode, host.root, str(size_bytes or 0), label, host.device)
    return Step(f"Making the storage pool on {host.name}", _ENSURE, args)


def pool_outcome(output: str) -> PoolOutcome:
    """Return what the step has said. Pure."""
    lines = [line.split() for line in output.splitlines()]
    made = next((words[1:] for words in lines if words[0] == "made"), [])
    return PoolOutcome(made[0] if made else "", ["mounted"] in lines, int(made[1]) if len(made) > 1 else 0)


def pool_failure(failure: ScriptFailed) -> CarinaError:
    """Return what a failure of the step amounts to."""
    if failure.exit_status == _NO_SPACE:
        return DiskFull(
            f"A storage pool needs {SMALLEST_BYTES >> 30} GiB: {failure.detail}",
            remedy="Free some space, or choose a home on a larger file system.",
        )
    if failure.exit_status == _STRANGER:
        return HostNotReady(failure.detail, remedy="Unmount what is there, or choose another home.")
    if failure.exit_status == _BAD_DEVICE:
        return HostNotReady(
            failure.detail,
            remedy="Name another device; or, if nobody needs what is on it, clear it there: 'wipefs --all DEVICE'.",
        )
    if failure.exit_status == _LOST:
        return HostNotReady(
            failure.detail,
            remedy="Attach that disk again. If it is lost with all that was on it, remove the file 'state/pool' in "
            "Carina's directory on the host, which makes way for an empty pool.",
        )
    return failure


async def ensure_pool(shell: Shell, host: Host, *, label: str, size_bytes: int | None) -> PoolOutcome:
    """Run the step of `pool_step` alone. Raises `DiskFull`, `HostNotReady`, `CommandFailed`."""
    step = pool_step(host, label=label, size_bytes=size_bytes)
    try:
        result = await shell.run(step.script, args=step.args, timeout_s=_TIMEOUT_S, what=step.what)
    except ScriptFailed as failure:
        raise pool_failure(failure) from failure
    return pool_outcome(result.text)


async def unmount_pool(shell: Shell, host: Host, *, label: str) -> None:
    """Unmount the pool, if it is one that Carina made. Not mounted is no error. Raises `CommandFailed`."""
    await shell.run(
        _UNMOUNT, args=(host.root, label), timeout_s=_TIMEOUT_S, what=f"Unmounting the storage pool on {host.name}"
    )


async def purge_pool(shell: Shell, host: Host, *, label: str) -> None:
    """Remove the pool with all that is in it, and the root directory if it is empty then. Raises `CommandFailed`."""
    await shell.run(
        _PURGE,
        args=(host.root, label, host.device),
        timeout_s=_TIMEOUT_S,
        what=f"Removing the storage pool on {host.name}",
    )
