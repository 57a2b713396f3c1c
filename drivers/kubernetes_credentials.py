"""The archive's files by which people reach a cluster's Kubernetes API with their own tools.

Each script sets KUBECONFIG for one shell, and finds the kubeconfig beside itself, wherever it is called from.
"""

from collections.abc import Mapping

from domain.secrets import Access
from drivers.kubernetes_kubeconfig import kubeconfig

_BASH = """\
# {name}: for bash and zsh. Use it as: source kubectl.env
export KUBECONFIG="$(CDPATH= cd -- "$(dirname -- "${{BASH_SOURCE:-$0}}")" >/dev/null && pwd)/kubectl.config"
"""

_FISH = """\
# {name}: for fish. Use it as: source kubectl.fish
set -gx KUBECONFIG (realpath (dirname (status filename)))/kubectl.config
"""

_POWERSHELL = """\
# {name}: for PowerShell. Use it as: . ./kubectl.ps1
$Env:KUBECONFIG = Join-Path $PSScriptRoot "kubectl.config"
"""

_CMD = """\
@rem {name}: for cmd. Use it as: call kubectl.cmd
@set "KUBECONFIG=%~dp0kubectl.config"
"""


def credentials(cluster_name: str, endpoint: str, access: Access) -> Mapping[str, bytes]:
    """Return the files, by name. `endpoint` is https://address:port."""
    scripts = {"kubectl.env": _BASH, "kubectl.fish": _FISH, "kubectl.ps1": _POWERSHELL, "kubectl.cmd": _CMD}
    texts = {file: text.format(name=cluster_name) for file, text in scripts.items()}
    texts["kubectl.cmd"] = texts["kubectl.cmd"].replace("\n", "\r\n")
    return {
        "ca.pem": access.ca_pem,
        "cert.pem": access.client.cert_pem,
        "key.pem": access.client.key_pem,
        "kubectl.config": kubeconfig(cluster_name, f"{cluster_name}-user", endpoint, access),
        **{file: text.encode() for file, text in texts.items()},
    }
