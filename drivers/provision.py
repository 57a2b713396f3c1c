"""What a host is given before it carries nodes, if it lacks it: Debian packages, kernel modules, kernel settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.errors import CarinaError, HostNotReady
from drivers.requirements import (
    COMMANDS,
    COMMANDS_TO_BUILD,
    COMMANDS_WITH_APPARMOR,
    COMMANDS_WITH_MODULES,
    COMMANDS_WITH_WIREGUARD,
    MODULES,
    SYSCTLS,
)
from drivers.shell import ScriptFailed, Shell
from drivers.steps import Step, run_steps

SYSCTL_FILE = "/etc/sysctl.d/90-carina.conf"
MODULES_FILE = "/etc/modules-load.d/carina.conf"
TIMEOUT_S = 900.0
"""Packages come from far, over lines that may be slow."""

_NO_APT = 17
_DO = "do"
_TELL = "tell"

APPARMOR_ON = '[ "$(cat /sys/module/apparmor/parameters/enabled 2> /dev/null)" = Y ]'
"""Shell condition: the kernel enforces AppArmor."""
HAS_WIREGUARD = "{ modprobe --dry-run --quiet wireguard 2> /dev/null || [ -d /sys/module/wireguard ]; }"
"""Shell condition: the kernel has WireGuard, or a module of it."""
HAS_MODULES = '[ -d "/lib/modules/$(uname -r)" ]'
"""Shell condition: the kernel has modules."""

_ALONE = '[ ! -d "${file%/*}" ] || { exec 9< "${file%/*}"; flock 9; }'
"""Shell command: wait until no other instance changes files beside `file`."""

_INSTALL = f"""
# $1: 'do', or 'tell' what would be done. Writes the packages.
set -euo pipefail
missing=()
while read -r when command package; do
  case $when in
    apparmor) {APPARMOR_ON} || continue ;;
    modules) {HAS_MODULES} || continue ;;
    wireguard) {HAS_WIREGUARD} || continue ;;
  esac
  command -v "$command" > /dev/null || missing+=("$package")
done
[ "${{#missing[@]}}" -gt 0 ] || exit 0
command -v apt-get > /dev/null || {{ echo "missing: ${{missing[*]}}" >&2; exit {_NO_APT}; }}
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
install() {{
  apt-get install --yes --no-install-recommends --option DPkg::Lock::Timeout=300 \
    --option Dpkg::Options::=--force-confold "${{missing[@]}}" >&2 < /dev/null
}}
# The lists of packages may be missing or too old: then fetch them, and try once more.
[ "$1" = {_TELL} ] || install || {{ apt-get update >&2 < /dev/null && install; }}
echo "${{missing[@]}}"
"""

_TUNE = f"""
# $1: as above; $2: the file with settings for the next boot; then least values. Writes the settings that change.
set -euo pipefail
file=$2
{_ALONE}
kept=()
for wanted in "${{@:3}}"; do
  key=${{wanted%%=*}} least=${{wanted#*=}}
  path=/proc/sys/${{key//.//}}
  [ -e "$path" ] || continue
  line="$key = $least"
  if [ "$(cat "$path")" -lt "$least" ]; then
    [ "$1" = {_TELL} ] || echo "$least" > "$path"
  elif [ "$least" -gt 1 ] || [ ! -d "${{file%/*}}" ] || grep -qsxF "$line" "$file"; then
    continue
  fi # What is a mere switch may have been switched on for this boot only.
  kept+=("$line")
  echo "$key"
done
if [ "$1" = {_DO} ] && [ "${{#kept[@]}}" -gt 0 ] && [ -d "${{file%/*}}" ]; then
  {{ cat "$file" 2> /dev/null || true; printf '%s\\n' "${{kept[@]}}"; }} | sort -u > "$file.new"
  mv "$file.new" "$file"
fi
"""

_LOAD = f"""
# $1: as above; $2: the file with modules for the next boot; then modules. Writes the modules if the file changes.
set -euo pipefail
file=$2
{HAS_MODULES} && command -v modprobe > /dev/null || exit 0
{_ALONE}
dry=()
[ "$1" = {_DO} ] || dry=(--dry-run)
there=()
for name in "${{@:3}}"; do
  ! modprobe --quiet "${{dry[@]}}" "$name" || there+=("$name")
done
if [ -d "${{file%/*}}" ] && [ "$(cat "$file" 2> /dev/null)" != "$(printf '%s\\n' "${{there[@]}}")" ]; then
  if [ "$1" = {_DO} ]; then
    printf '%s\\n' "${{there[@]}}" > "$file.new"
    mv "$file.new" "$file"
  fi
  echo "${{there[@]}}"
fi
"""


@dataclass(frozen=True, slots=True)
class Provided:
    """What was done, or has to be."""

    packages: Sequence[str]
    sysctls: Sequence[str]
    modules: Sequence[str]


def provision_steps(
    host: str,
    *,
    builds: bool = False,
    dry: bool = False,
    wireguard: bool = False,
    sysctls: Mapping[str, int] = SYSCTLS,
) -> list[Step]:
    """Return the steps that install missing packages, load kernel modules and raise kernel settings, none ever lowered.

    Settings and modules are kept for the next boot where the host has the directories for that. On a host that `builds`
    node images there is what that takes; with `wireguard`, what that takes, if the kernel has it. `dry` steps change
    nothing. Read what they write with `provided`, and their failures with `lacking`.
    """
    always = {**COMMANDS, **(COMMANDS_TO_BUILD if builds else {})}
    needed = [f"always {command} {package}" for command, package in always.items()]
    needed += [f"apparmor {command} {package}" for command, package in COMMANDS_WITH_APPARMOR.items()]
    needed += [f"modules {command} {package}" for command, package in COMMANDS_WITH_MODULES.items()]
    if wireguard:
        needed += [f"wireguard {command} {package}" for command, package in COMMANDS_WITH_WIREGUARD.items()]
    mode = _TELL if dry else _DO
    least = [f"{name}={value}" for name, value in sysctls.items()]
    lines = "".join(f"{line}\n" for line in needed).encode()
    return [
        Step(f"Installing Debian packages on {host}", _INSTALL, (mode,), lines),
        Step(f"Loading kernel modules on {host}", _LOAD, (mode, MODULES_FILE, *MODULES)),
        Step(f"Raising kernel settings on {host}", _TUNE, (mode, SYSCTL_FILE, *least)),
    ]


def provided(outputs: Sequence[str]) -> Provided:
    """Return what the steps of `provision_steps` have said. Pure."""
    packages, modules, sysctls = (output.split() for output in outputs)
    return Provided(packages, sysctls, modules)


def lacking(failure: ScriptFailed) -> CarinaError:
    """Return what a failure of one of the steps amounts to."""
    if failure.exit_status != _NO_APT or "missing:" not in failure.detail:
        return failure
    return HostNotReady(
        f"The host has no apt-get, and lacks commands: {failure.detail}",
        remedy="Install the packages named by the means of the host's own distribution.",
    )


async def provide(shell: Shell, host: str = "the host", *, sysctls: Mapping[str, int] = SYSCTLS) -> Provided:
    """Run the steps alone. Raises `HostNotReady` if something is missing and can't be installed, `CommandFailed`."""
    try:
        return provided(await run_steps(shell, provision_steps(host, sysctls=sysctls), timeout_s=TIMEOUT_S))
    except ScriptFailed as failure:
        raise lacking(failure) from failure
