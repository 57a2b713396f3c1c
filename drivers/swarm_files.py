"""The files that a node of a Docker Swarm cluster has before its first start.

daemon.json is documented at https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file.
"""

import json
from collections.abc import Sequence

from domain.nodes import NodeFile, NodePlan
from domain.options import ClusterOptions
from domain.overlays import overlay_mtu
from domain.secrets import KeyPair
from drivers.docker_client import DOCKER_PORT

_TLS = "/etc/docker/tls"
_MTU = "com.docker.network.driver.mtu"


def node_files(plan: NodePlan, options: ClusterOptions, ca_pem: bytes, server: KeyPair) -> Sequence[NodeFile]:
    """Return Docker's settings and certificates: with them it listens under TLS from its first start on."""
    mtu = plan.segment.mtu
    settings: dict[str, object] = {
        "hosts": ["unix:///run/docker.sock", f"tcp://{plan.address}:{DOCKER_PORT}"],
        "tlsverify": True,
        "tlscacert": f"{_TLS}/ca.pem",
        "tlscert": f"{_TLS}/cert.pem",
        "tlskey": f"{_TLS}/key.pem",
        "storage-driver": "overlay2",
        "log-driver": "json-file",
        "log-opts": {"max-size": "10m", "max-file": "3"},
        # No packet may be larger than the segment carries: docker0, and the networks that people make.
        "mtu": mtu,
        "default-network-opts": {
            "bridge": {_MTU: str(mtu)},
            "overlay": {_MTU: str(overlay_mtu(mtu, encrypted=False))},
        },
    }
    if options.registry_mirrors:
        settings["registry-mirrors"] = [url for _, url in options.registry_mirrors]
    if options.insecure_registries:
        settings["insecure-registries"] = list(options.insecure_registries)
    return (
        NodeFile("/etc/docker/daemon.json", json.dumps(settings, indent=2).encode() + b"\n"),
        NodeFile(f"{_TLS}/ca.pem", ca_pem),
        NodeFile(f"{_TLS}/cert.pem", server.cert_pem),
        NodeFile(f"{_TLS}/key.pem", server.key_pem, mode=0o600),
    )
