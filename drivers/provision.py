"""What a host is given before it carries nodes, if it lacks it: Debian packages, kernel modules, kernel settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.errors import HostNotReady
from drivers.requirements import COMMANDS, COMMANDS_WITH_APPARMOR, COMMANDS_WITH_MODULES, MODULES, SYSCTLS
from drivers.shell import ScriptFailed, Shell

SYSCTL_FILE = "/etc/sysctl.d/90-carina.conf"
MODULES_FILE = "/etc/modules-load.d/carina.conf"
_INSTALL_TIMEOUT_S = 900.0
_TIMEOUT_S = 60.0
_NO_APT = 17

APPARMOR_ON = '[ "$(cat /sys/module/apparmor/parameters/enabled 2> /dev/null)" = Y ]'
"""Shell condition: the kernel enforces AppArmor."""
HAS_MODULES = '[ -d "/lib/modules/$(uname -r)" ]'
"""Shell condition: the kernel has modules."""

_INSTALL = f"""
set -euo pipefail
missing=()
while read -r when command package; do
  case $when in
    apparmor) {APPARMOR_ON} || continue ;;
    modules) {HAS_MODULES} || continue ;;
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
install || {{ apt-get update >&2 < /dev/null && install; }}
echo "${{missing[@]}}"
"""

_TUNE = """
set -euo pipefail
file=$1
raised=()
for wanted in "${@:2}"; do
  key=${wanted%%=*} least=${wanted#*=}
  path=/proc/sys/${key//.//}
  [ -e "$path" ] || continue
  [ "$(cat "$path")" -lt "$least" ] || continue
  echo "$least" > "$path"
  raised+=("$key = $least")
  echo "$key"
done
if [ "${#raised[@]}" -gt 0 ] && [ -d "${file%/*}" ]; then
  { cat "$file" 2> /dev/null || true; printf '%s\\n' "${raised[@]}"; } | sort -u > "$file.new"
  mv "$file.new" "$file"
fi
"""

_LOAD = f"""
set -euo pipefail
file=$1
{HAS_MODULES} || exit 0
there=()
for name in "${{@:2}}"; do
  ! modprobe --quiet "$name" || there+=("$name")
done
if [ -d "${{file%/*}}" ] && [ "$(cat "$file" 2> /dev/null)" != "$(printf '%s\\n' "${{there[@]}}")" ]; then
  printf '%s\\n' "${{there[@]}}" > "$file.new"
  mv "$file.new" "$file"
  echo "${{there[@]}}"
fi
"""


@dataclass(frozen=True, slots=True)
class Provided:
    """What `provide` had to do."""

    packages: Sequence[str]
    sysctls: Sequence[str]
    modules: Sequence[str]


async def provide(shell: Shell, *, sysctls: Mapping[str, int] = SYSCTLS) -> Provided:
    """Install missing packages, raise kernel settings (none is ever lowered), load kernel modules.

    Settings and modules are kept for the next boot where the host has the directories for that. Raises `HostNotReady`
    where something is missing that can't be installed, `CommandFailed`.
    """
    needed = [f"always {command} {package}" for command, package in COMMANDS.items()]
    needed += [f"apparmor {command} {package}" for command, package in COMMANDS_WITH_APPARMOR.items()]
    needed += [f"modules {command} {package}" for command, package in COMMANDS_WITH_MODULES.items()]
    try:
        installed = await shell.run(
            _INSTALL,
            stdin="".join(f"{line}\n" for line in needed).encode(),
            timeout_s=_INSTALL_TIMEOUT_S,
            what="Installing Debian packages",
        )
    except ScriptFailed as error:
        if error.exit_status != _NO_APT:
            raise
        raise HostNotReady(
            f"The host has no apt-get, and lacks commands: {error.detail}",
            remedy="Install the packages named by the means of the host's own distribution.",
        ) from error
    loaded = await shell.run(_LOAD, args=(MODULES_FILE, *MODULES), timeout_s=_TIMEOUT_S, what="Loading kernel modules")
    least = [f"{name}={value}" for name, value in sysctls.items()]
    raised = await shell.run(_TUNE, args=(SYSCTL_FILE, *least), timeout_s=_TIMEOUT_S, what="Raising kernel settings")
    return Provided(installed.text.split(), raised.text.split(), loaded.text.split())
