"""What preparing a host would change, in words. Pure."""

from collections.abc import Sequence

from domain.allocation import UIDS_PER_NODE
from domain.hosts import Claim, Host
from drivers.pool import PoolOutcome
from drivers.provision import MODULES_FILE, SYSCTL_FILE, Provided
from drivers.requirements import SYSCTLS

_GIBIBYTE = 2**30


def provision_changes(missing: Provided) -> list[str]:
    """Say which packages, kernel modules and kernel settings come."""
    told = [f"install the package {package}" for package in missing.packages]
    if missing.modules:
        told.append(f"load kernel modules, now and at boot ({MODULES_FILE}): {', '.join(missing.modules)}")
    told += [f"set {name} to {SYSCTLS[name]}, now and at boot ({SYSCTL_FILE})" for name in missing.sysctls]
    return told


def claim_change(held: Claim | None, claim: Claim) -> list[str]:
    """Say what is claimed, unless it is claimed already."""
    if held == claim:
        return []
    last = claim.uid_first + claim.uid_ranges * UIDS_PER_NODE - 1
    return [
        f"claim the network {claim.network} for nodes",
        f"claim the uids and gids {claim.uid_first} to {last} for nodes (/etc/subuid, /etc/subgid)",
    ]


def pool_changes(pool: PoolOutcome, host: Host) -> list[str]:
    """Say what is made for the storage pool, and mounted."""
    where = f"{host.root}/pool"
    made = {
        "file": f"make the storage pool in a file, {where}.img, of at most {pool.bytes / _GIBIBYTE:.1f} GiB",
        "device": f"make a btrfs on {host.device} for the storage pool, and mount it at {where}",
        "subvolume": f"make a subvolume for the storage pool, {where}",
    }
    if pool.made:
        return [made[pool.made]]
    return [f"mount the storage pool at {where}"] if pool.mounted else []


def tunnel_change(change: str) -> list[str]:
    """Say what becomes of WireGuard: `change` is "key", "off" or empty."""
    told = {"key": "make a key for WireGuard to other hosts", "off": "remove WireGuard to other hosts, with its key"}
    return [told[change]] if change else []


def boot_changes(paths: Sequence[str]) -> list[str]:
    """Say which files are written that bring the host's nodes back after a reboot."""
    return [f"write {path}, which brings nodes back after a reboot" for path in paths]
