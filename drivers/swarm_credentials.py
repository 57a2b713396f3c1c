"""The archive's files by which people reach a cluster's Docker API with their own tools.

Each script sets DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH for one shell, and finds the certificates
beside itself, wherever it is called from.
"""

from collections.abc import Mapping

from domain.secrets import Access

_BASH = """\
# {name}: for bash and zsh. Use it as: source docker.env
export DOCKER_HOST={endpoint}
export DOCKER_TLS_VERIFY=1
export DOCKER_CERT_PATH="$(CDPATH= cd -- "$(dirname -- "${{BASH_SOURCE:-$0}}")" >/dev/null && pwd)"
"""

_FISH = """\
# {name}: for fish. Use it as: source docker.fish
set -gx DOCKER_HOST {endpoint}
set -gx DOCKER_TLS_VERIFY 1
set -gx DOCKER_CERT_PATH (realpath (dirname (status filename)))
"""

_POWERSHELL = """\
# {name}: for PowerShell. Use it as: . ./docker.ps1
$Env:DOCKER_HOST = "{endpoint}"
$Env:DOCKER_TLS_VERIFY = "1"
$Env:DOCKER_CERT_PATH = $PSScriptRoot
"""

_CMD = """\
@rem {name}: for cmd. Use it as: call docker.cmd
@set "DOCKER_HOST={endpoint}"
@set "DOCKER_TLS_VERIFY=1"
@set "DOCKER_CERT_PATH=%~dp0."
"""


def credentials(cluster_name: str, endpoint: str, access: Access) -> Mapping[str, bytes]:
    """Return the files, by name. `endpoint` is tcp://address:port."""
    scripts = {"docker.env": _BASH, "docker.fish": _FISH, "docker.ps1": _POWERSHELL, "docker.cmd": _CMD}
    texts = {file: text.format(name=cluster_name, endpoint=endpoint) for file, text in scripts.items()}
    texts["docker.cmd"] = texts["docker.cmd"].replace("\n", "\r\n")
    return {
        "ca.pem": access.ca_pem,
        "cert.pem": access.client.cert_pem,
        "key.pem": access.client.key_pem,
        **{file: text.encode() for file, text in texts.items()},
    }
