"""Whether a machine can be a host: facts are gathered in one round trip, and judged by pure functions."""

import time
from collections.abc import Mapping

from domain.hosts import (
    CAP_APPARMOR,
    CAP_ESP,
    CAP_IPVS,
    CAP_LIMITS,
    CAP_LXCFS,
    CAP_QUOTA,
    CAP_WIREGUARD,
    Host,
    HostReport,
)
from domain.instance import Instance
from drivers.capacity_checks import capacity_checks, free_size, lxcfs_works, quotas_work, total_size
from drivers.claims import CLAIMS_DIR
from drivers.kernel_checks import CAP_CGROUP2, cgroup_version, kernel_checks, lacking_controllers
from drivers.network_checks import all_addresses, host_address, lowest_mtu, network_checks
from drivers.probe import FACTS
from drivers.probe_trials import TRIALS
from drivers.requirements import COMMANDS, COMMANDS_TO_BUILD, COMMANDS_WITH_APPARMOR, COMMANDS_WITH_MODULES, SYSCTLS
from drivers.shell import Shell
from drivers.system_checks import system_checks
from drivers.wireguard_checks import WIREGUARD_OVERHEAD_BYTES, tunnel_end, wireguard_check

_TIMEOUT_S = 60.0


async def measure(shell: Shell, instance: Instance, host: Host, *, now_s: float, wireguard: bool = False) -> HostReport:
    """Measure a host. `now_s` is the time here, in seconds since the epoch. Raises `CommandFailed`."""
    started = time.monotonic()
    facts = await gather(shell, instance, host)
    return judge(facts, instance, now_s=now_s, took_s=time.monotonic() - started, wireguard=wireguard)


async def gather(shell: Shell, instance: Instance, host: Host) -> Mapping[str, str]:
    """Return the facts of a host, by name. What it makes for that goes again. Raises `CommandFailed`."""
    commands = [*COMMANDS, *COMMANDS_WITH_APPARMOR, *COMMANDS_WITH_MODULES, *(COMMANDS_TO_BUILD if host.local else ())]
    wanted = [*(f"command {name}" for name in commands), *(f"sysctl {name}" for name in SYSCTLS)]
    result = await shell.run(
        FACTS,
        args=(host.root, instance.prefix, CLAIMS_DIR, TRIALS, host.device),
        stdin="".join(f"{line}\n" for line in wanted).encode(),
        timeout_s=_TIMEOUT_S,
        what="Measuring the host",
    )
    return read_facts(result.text)


def read_facts(text: str) -> dict[str, str]:
    """Return facts from lines of a name, a tab and a value. A fact that could not be had is empty or absent. Pure."""
    pairs = (line.partition("\t") for line in text.splitlines())
    return {name: value.strip() for name, tab, value in pairs if tab}


def judge(
    facts: Mapping[str, str], instance: Instance, *, now_s: float, took_s: float = 0.0, wireguard: bool = False
) -> HostReport:
    """Say what a host with these facts can do, gathered in the `took_s` seconds that began at `now_s`. Pure.

    `wireguard` is whether what goes to other hosts is to be encrypted.
    """
    tunnel = tunnel_end(facts) if wireguard else None
    able = {
        CAP_ESP: facts.get("try.esp") == "ok",
        CAP_IPVS: facts.get("try.ipvs") == "ok",
        CAP_APPARMOR: bool(facts.get("apparmor")) and bool(facts.get("apparmor.loads")),
        CAP_LXCFS: lxcfs_works(facts),
        CAP_QUOTA: quotas_work(facts),
        CAP_LIMITS: not lacking_controllers(facts),
        CAP_WIREGUARD: tunnel is not None,
        CAP_CGROUP2: cgroup_version(facts) == 2,  # noqa: PLR2004 - the version's own number
    }
    return HostReport(
        checks=(
            *system_checks(facts, now_s=now_s, took_s=took_s),
            *capacity_checks(facts),
            *network_checks(facts, instance),
            *kernel_checks(facts),
            *([wireguard_check(facts)] if wireguard else []),
        ),
        capabilities=frozenset(name for name, there in able.items() if there),
        mtu=lowest_mtu(facts) - (WIREGUARD_OVERHEAD_BYTES if tunnel else 0),
        cgroup_version=cgroup_version(facts),
        total=total_size(facts),
        free=free_size(facts),
        address=host_address(facts),
        addresses=all_addresses(facts, instance),
        tunnel=tunnel,
    )
