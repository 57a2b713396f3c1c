"""Limits of nodes' disks on a file system of a test's own, with either kind of quotas: not all kernels have both."""

import subprocess

import pytest

from drivers.image_recipe import script

POOL = """
mount -t tmpfs tmpfs /mnt
truncate -s 1G /mnt/pool.img
mkfs.btrfs --quiet /mnt/pool.img > /dev/null 2>&1
mkdir /mnt/pool
mount -t btrfs -o loop,noatime /mnt/pool.img /mnt/pool
pool=/mnt/pool node=/mnt/pool/node
btrfs subvolume create "$pool/image" > /dev/null
head -c 100M /dev/urandom > "$pool/image/shared"
sync -f "$pool"
mkdir "$node"
echo "disk = $((50 * 1024 * 1024))" > "$node/size"
"""
NODE = """
btrfs subvolume snapshot "$pool/image" "$node/rootfs" > /dev/null
limit_disk "$node"
quota_mode
! head -c 80M /dev/urandom > "$node/rootfs/own" 2> /dev/null || echo not refused
stat --format %s "$node/rootfs/own"
"""
GONE = """
lift_disk_limit "$node"
drop_subvolume "$node/rootfs"
btrfs filesystem sync "$pool"
btrfs subvolume sync "$pool" > /dev/null
sweep_quotas
id=$(btrfs inspect-internal rootid "$pool/image")
btrfs qgroup show "$pool" | awk -v image="0/$id" '$1 ~ "^[0-9]+/" && $1 != "0/5" && $1 != image'
"""


def bash(text: str) -> list[str]:
    """Run bash after all that scripts for hosts share, with mounts of its own."""
    command = ("unshare", "--mount", "bash", "-c", "\n".join((script("btrfs_quota"), POOL, text)))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(("kind", "mode"), [("simple", "squota"), ("full", "qgroup")])
def test_a_node_writes_what_it_may_beside_what_it_shares_with_its_image(kind: str, mode: str) -> None:
    told, size, *rest = bash(f'switch_quota "$pool" {kind}\n{NODE}')
    assert told == mode
    assert 40 * 2**20 < int(size) <= 50 * 2**20
    assert rest == []


@pytest.mark.parametrize("kind", ["simple", "full"])
def test_a_full_node_is_removed_and_no_group_of_it_stays(kind: str) -> None:
    assert len(bash(f'switch_quota "$pool" {kind}\n{NODE}{GONE}')) == 2


def test_the_first_limit_turns_simple_quotas_on() -> None:
    assert bash(f"quota_mode\n{NODE}")[0] == "squota"


def test_a_file_system_that_is_not_the_pools_alone_is_left_as_it_is() -> None:
    shared = (
        'mkdir "$pool/below"\npool=$pool/below\nbtrfs subvolume snapshot "$pool/../image" "$node/rootfs" > /dev/null\n'
    )
    assert bash(f'{shared}limit_disk "$node"\necho "mode:$(quota_mode)"') == ["mode:"]
