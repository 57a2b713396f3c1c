"""Finds out, by trying, whether anything in a cluster enforces network policies. Blocks.

A policy that is there before probes start closes one of their ports, and they try each other's.
"""

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from domain.clusters import Capability
from domain.nodes import Member
from drivers.kubernetes_client import Api, Object
from drivers.kubernetes_probe import CLOSED_PORT, OPEN_PORT, PARALLEL, Running, running
from drivers.kubernetes_questions import clear, namespace, probes_on, still_open

NETWORK_POLICY = "network-policy"
_TALK_S = 60


def close_port(api: Api, name: str) -> None:
    """Close all ports but one of all pods in a namespace."""
    policy: Object = {
        "metadata": {"name": "open-port"},
        "spec": {
            "podSelector": {},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": OPEN_PORT, "protocol": "TCP"}]}],
        },
    }
    api.create(f"/apis/networking.k8s.io/v1/namespaces/{name}/networkpolicies", policy)


def judge(api: Api, pool: Executor, probes: Sequence[Running]) -> Capability:
    """Let probes, in a namespace with `close_port`, try the closed port of all others."""
    peers = {probe: [f"{other.address}:{CLOSED_PORT}" for other in probes if other is not probe] for probe in probes}
    tried = len(probes) * (len(probes) - 1)
    reached = len(still_open(api, pool, peers))
    if reached:
        detail = (
            f"nothing enforces policies: a port that one closes was reached over {reached} of {tried} pairs of pods"
        )
    else:
        detail = f"a port that a policy closes was reached over none of {tried} pairs of pods"
    return Capability(NETWORK_POLICY, not reached, detail)


def measure(api: Api, members: Sequence[Member]) -> Capability:
    """Find it out with probes on these nodes, and nothing else."""
    clear(api)
    with namespace(api) as name, ThreadPoolExecutor(PARALLEL, thread_name_prefix="probe") as pool:
        close_port(api, name)
        with running(api, pool, probes_on(members, name), packet_bytes=1, talk_s=_TALK_S) as probes:
            return judge(api, pool, probes)
