"""Where containerd asks for images: mirrors of registries, and registries without TLS.

The files are described at https://github.com/containerd/containerd/blob/main/docs/hosts.md.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from domain.nodes import NodeFile
from domain.options import ClusterOptions

_DIR = "/etc/containerd/certs.d"
_UPSTREAM = {"docker.io": "https://registry-1.docker.io"}


def registry_files(options: ClusterOptions) -> Sequence[NodeFile]:
    """Return a hosts.toml for each registry that has a mirror or is spoken to without TLS."""
    mirrors: dict[str, list[str]] = {registry: [] for registry in options.insecure_registries}
    for registry, url in options.registry_mirrors:
        mirrors.setdefault(registry, []).append(url)
    return [
        NodeFile(f"{_DIR}/{registry}/hosts.toml", _hosts(registry, urls, options.insecure_registries).encode())
        for registry, urls in mirrors.items()
    ]


def _hosts(registry: str, mirrors: Sequence[str], insecure: Sequence[str]) -> str:
    server = f"http://{registry}" if registry in insecure else _UPSTREAM.get(registry, f"https://{registry}")
    lines = [f'server = "{server}"']
    for url in mirrors:
        lines += ["", f'[host."{url}"]', '  capabilities = ["pull", "resolve"]']
        parts = urlsplit(url)
        if parts.scheme == "https" and parts.netloc in insecure:
            lines.append("  skip_verify = true")
    return "\n".join(lines) + "\n"
