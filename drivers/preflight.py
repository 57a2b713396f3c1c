"""Whether a machine can be a host: facts are gathered in one round trip, and judged by pure functions."""

from collections.abc import Mapping

from domain.hosts import CAP_APPARMOR, CAP_ESP, CAP_IPVS, Host, HostReport
from domain.instance import Instance
from drivers.claims import CLAIMS_DIR
from drivers.kernel_checks import CAP_CGROUP2, cgroup_version, kernel_checks
from drivers.probe import FACTS, TRIALS
from drivers.requirements import COMMANDS, COMMANDS_WITH_APPARMOR, COMMANDS_WITH_MODULES, SYSCTLS
from drivers.shell import Shell
from drivers.system_checks import lowest_mtu, system_checks

_TIMEOUT_S = 60.0


async def measure(shell: Shell, instance: Instance, host: Host, *, now_s: float) -> HostReport:
    """Measure a host. `now_s` is the time here, in seconds since the epoch. Raises `CommandFailed`."""
    return judge(await gather(shell, instance, host), instance, now_s=now_s)


async def gather(shell: Shell, instance: Instance, host: Host) -> Mapping[str, str]:
    """Return the facts of a host, by name. What it makes for that goes again. Raises `CommandFailed`."""
    commands = [*COMMANDS, *COMMANDS_WITH_APPARMOR, *COMMANDS_WITH_MODULES]
    wanted = [*(f"command {name}" for name in commands), *(f"sysctl {name}" for name in SYSCTLS)]
    result = await shell.run(
        FACTS,
        args=(host.root, instance.prefix, CLAIMS_DIR, TRIALS),
        stdin="".join(f"{line}\n" for line in wanted).encode(),
        timeout_s=_TIMEOUT_S,
        what="Measuring the host",
    )
    return read_facts(result.text)


def read_facts(text: str) -> dict[str, str]:
    """Return facts from lines of a name, a tab and a value. A fact that could not be had is empty or absent. Pure."""
    pairs = (line.partition("\t") for line in text.splitlines())
    return {name: value.strip() for name, tab, value in pairs if tab}


def judge(facts: Mapping[str, str], instance: Instance, *, now_s: float) -> HostReport:
    """Say what a host with these facts can do. Pure."""
    able = {
        CAP_ESP: facts.get("try.esp") == "ok",
        CAP_IPVS: bool(facts.get("ipvs")),
        CAP_APPARMOR: bool(facts.get("apparmor")),
        CAP_CGROUP2: cgroup_version(facts) == 2,  # noqa: PLR2004 - the version's own number
    }
    return HostReport(
        checks=(*system_checks(facts, instance, now_s=now_s), *kernel_checks(facts)),
        capabilities=frozenset(name for name, there in able.items() if there),
        mtu=lowest_mtu(facts),
        cgroup_version=cgroup_version(facts),
    )
