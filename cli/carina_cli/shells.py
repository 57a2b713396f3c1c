"""Environment variables in the words of each shell. Values are quoted, so that they mean themselves only."""

import os
import shlex
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import PurePath

CLUSTER_NAME = "CARINA_CLUSTER_NAME"
DOCKER_VARIABLES = ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", CLUSTER_NAME)
KUBERNETES_VARIABLES = ("KUBECONFIG", CLUSTER_NAME)


class Shell(StrEnum):
    """The shells that `carina env` speaks to; bash stands for sh, dash and zsh too."""

    BASH = "bash"
    FISH = "fish"
    POWERSHELL = "powershell"
    CMD = "cmd"


def own_shell() -> Shell:
    """Return the shell that this person seems to use: that of SHELL, or PowerShell on Windows."""
    name = PurePath(os.environ.get("SHELL", "")).name
    if name == "fish":
        return Shell.FISH
    if not name and os.name == "nt":
        return Shell.POWERSHELL
    return Shell.BASH


def exports(shell: Shell, variables: Mapping[str, str]) -> list[str]:
    """Return the lines that set the variables."""
    return [_EXPORT[shell](name, value) for name, value in variables.items()]


def unsets(shell: Shell, names: Sequence[str]) -> list[str]:
    """Return the lines that take the variables away. It is no error if they aren't set."""
    return [_UNSET[shell](name) for name in names]


def how_to(shell: Shell, command: str) -> str:
    """Return a comment that says how to run the output of `command`."""
    return {
        Shell.BASH: f'# Run: eval "$({command})"',
        Shell.FISH: f"# Run: {command} | source",
        Shell.POWERSHELL: f"# Run: {command} | Out-String | Invoke-Expression",
        Shell.CMD: f"REM Run: @FOR /f \"tokens=*\" %i IN ('{command}') DO @%i",
    }[shell]


def _fish(value: str) -> str:
    """Quote for fish: in single quotes, where only the backslash and the quote are special (fish's manual, Quotes)."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _powershell(value: str) -> str:
    """Quote for PowerShell: a single-quoted string, quotes doubled (about_Quoting_Rules)."""
    return "'" + value.replace("'", "''") + "'"


_EXPORT = {
    Shell.BASH: lambda name, value: f"export {name}={shlex.quote(value)}",
    Shell.FISH: lambda name, value: f"set -gx {name} {_fish(value)};",
    Shell.POWERSHELL: lambda name, value: f"$Env:{name} = {_powershell(value)}",
    Shell.CMD: lambda name, value: f'SET "{name}={value}"',
}
_UNSET = {
    Shell.BASH: lambda name: f"unset {name}",
    Shell.FISH: lambda name: f"set -e {name};",
    Shell.POWERSHELL: lambda name: f"Remove-Item Env:\\{name} -ErrorAction SilentlyContinue",
    Shell.CMD: lambda name: f'SET "{name}="',
}
