"""Proves a cluster's pod network from inside: a pod on each node asks those on all the others. Blocks.

The probes start in parallel, in a namespace of their own. Each serves a file that is larger than several packets, and
fetches it from every other: that needs routes both ways, and full packets to pass. Each asks a Service, too, by its
address and by its name. The namespace goes by itself afterwards; those that a killed check left are removed first.
"""

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from domain.clusters import Capability
from domain.errors import OverlayUnreachable
from domain.nodes import Member
from domain.overlays import Overlay
from drivers.kubernetes_client import Api
from drivers.kubernetes_files import CLUSTER_DOMAIN
from drivers.kubernetes_membership import await_routes
from drivers.kubernetes_policies import close_port, judge
from drivers.kubernetes_probe import OPEN_PORT, PARALLEL, Answers, Running, in_parallel, running
from drivers.kubernetes_questions import NAMESPACES, clear, lost, namespace, probes_on, reach

POD_NETWORK = "pod-network"
CLUSTER_IP = "cluster-ip"
DNS = "dns"
_PACKETS = 8
_MARGIN_S = 30
_SERVICE = "probe"


def verify(api: Api, members: Sequence[Member], overlay: Overlay, patience_s: int) -> Sequence[Capability]:
    """Check that pods on all members reach each other, a Service and its name, and whether policies are enforced.

    Raises `OverlayUnreachable` naming who does not reach whom.
    """
    clear(api)
    with namespace(api) as name, ThreadPoolExecutor(PARALLEL, thread_name_prefix="probe") as pool:
        address = _make_service(api, name)
        close_port(api, name)
        packet_bytes, talk_s = _PACKETS * overlay.mtu, 2 * patience_s + _MARGIN_S
        with running(api, pool, probes_on(members, name), packet_bytes=packet_bytes, talk_s=talk_s) as probes:
            await_routes(api)
            reach(pool, probes, patience_s)
            _add_endpoints(api, name, [probe.address for probe in probes])
            _check(overlay, probes, _answers(pool, probes, patience_s, name, address))
            policies = judge(api, pool, probes)
    count = len(probes)
    over = f"{len(members)} node{'s' if len(members) > 1 else ''}"
    return (
        Capability(POD_NETWORK, True, f"{count**2} of {count**2} directed pairs of pods over {over}"),
        Capability(CLUSTER_IP, True, f"a Service answered at its address in {count} of {count} pods"),
        Capability(DNS, True, f"a Service's name was known in {count} of {count} pods"),
        policies,
    )


def _answers(pool: Executor, probes: Sequence[Running], patience_s: int, name: str, address: str) -> Sequence[Answers]:
    service = f"{_SERVICE}.{name}.svc.{CLUSTER_DOMAIN}."

    def ask(probe: Running) -> Answers:
        probe.ask("serve", patience_s, f"{address}:{OPEN_PORT}")
        probe.ask("name", patience_s, service, address)
        return probe.answers(["reach", "serve", "name"])

    return in_parallel(pool, ask, probes)


def _check(overlay: Overlay, probes: Sequence[Running], said: Sequence[Answers]) -> None:
    wrong = [line for probe, answers in zip(probes, said, strict=True) for line in lost(probe, answers, probes)]
    for probe, answers in zip(probes, said, strict=True):
        words = {line[0] for line in answers}
        if "unserved" in words:
            wrong.append(f"{probe.member.name} gets no answer from a Service")
        if "nameless" in words:
            wrong.append(f"{probe.member.name} does not find a Service by its name")
    if wrong:
        raise OverlayUnreachable(
            f"On the pod network {overlay.name}: {'; '.join(wrong)}.",
            remedy="Look at the journals of flannel, kube-proxy and coredns in the nodes named.",
        )


def _make_service(api: Api, name: str) -> str:
    """Make a Service whose endpoints come later; return its address."""
    ports = [{"port": OPEN_PORT, "protocol": "TCP"}]
    made = api.create(f"{NAMESPACES}/{name}/services", {"metadata": {"name": _SERVICE}, "spec": {"ports": ports}})
    return str(made["spec"]["clusterIP"])


def _add_endpoints(api: Api, name: str, addresses: Sequence[str]) -> None:
    """Tell the Service of the probes: itself it would hear of them when their kubelets have reported."""
    api.create(
        f"/apis/discovery.k8s.io/v1/namespaces/{name}/endpointslices",
        {
            "metadata": {"name": _SERVICE, "labels": {"kubernetes.io/service-name": _SERVICE}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
            "ports": [{"port": OPEN_PORT, "protocol": "TCP"}],
        },
    )
