"""Namespaces closed to all others: the overlay networks of a Kubernetes cluster beside its pod network. Blocks.

Policies close a namespace only where something in the cluster enforces them, so that is measured first: where nothing
does, nothing is made. See https://kubernetes.io/docs/concepts/services-networking/network-policies/.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

from domain.clusters import Capability
from domain.errors import OverlayFailed, OverlayUnreachable, PolicyNotEnforced
from domain.nodes import Member
from domain.overlays import Overlay
from drivers.kubernetes_client import Api, Object
from drivers.kubernetes_policies import NETWORK_POLICY, measure
from drivers.kubernetes_probe import LABEL as PROBE
from drivers.kubernetes_probe import OPEN_PORT, PARALLEL, Probe, Running, in_parallel, pods, running
from drivers.kubernetes_questions import NAMESPACES, clear, lost, namespace, opened, probes_on, reach, still_open

LABEL = "io.carina.overlay"
_PACKETS = 8
_MARGIN_S = 60
_REMOVE_TIMEOUT_S = 60.0
_POLICY = "networking.k8s.io/v1"
_DNS_PORTS = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]


def ensure(api: Api, members: Sequence[Member], overlay: Overlay) -> None:
    """Make the namespace with its policies and Services, as described.

    `members` are the nodes to measure on. Raises `PolicyNotEnforced`, with nothing made, where nothing enforces them.
    """
    path = f"{NAMESPACES}/{overlay.name}"
    found = api.find(path)
    if found is not None and not _is_ours(found):
        raise OverlayFailed(
            f"The cluster has a namespace {overlay.name} that Carina did not make.",
            remedy="Choose another name, or delete that namespace with kubectl.",
        )
    capability = measure(api, members)
    if not capability.works:
        raise PolicyNotEnforced(f"The namespace {overlay.name} would be open to all: {capability.detail}.")
    api.apply(path, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"labels": {LABEL: overlay.name}}})
    for name, spec in policies(overlay).items():
        policy = {"apiVersion": _POLICY, "kind": "NetworkPolicy", "spec": spec}
        api.apply(f"/apis/{_POLICY}/namespaces/{overlay.name}/networkpolicies/{name}", policy)
    for app, port in _exposed(overlay):
        served = {"selector": {"app": app}, "ports": [{"port": port, "protocol": "TCP"}]}
        api.apply(f"{path}/services/{app}", {"apiVersion": "v1", "kind": "Service", "spec": served})


def remove(api: Api, name: str) -> None:
    """Delete the namespace with all that is in it, and return when it is gone. One of others' is left alone."""
    path = f"{NAMESPACES}/{name}"
    found = api.find(path)
    if found is None or not _is_ours(found):
        return
    if "deletionTimestamp" not in found["metadata"]:
        api.delete(path)
    selector = f"metadata.name={name}"
    gone, left = api.until(NAMESPACES, lambda objects: not objects, _REMOVE_TIMEOUT_S, fieldSelector=selector)
    if not gone:
        conditions = next(iter(left.values()))["status"].get("conditions", ())
        why = "; ".join(entry["message"] for entry in conditions if entry["status"] == "True")
        raise OverlayFailed(
            f"The namespace {name} was not gone {_REMOVE_TIMEOUT_S:.0f} s later: {why or 'it does not say why'}",
            remedy="See 'kubectl get namespace -o yaml' for what holds it.",
        )


def verify(api: Api, members: Sequence[Member], overlay: Overlay, patience_s: int) -> Sequence[Capability]:
    """Check that pods inside reach each other, that none outside reaches them, and that what is exposed is reached.

    Raises `OverlayUnreachable`, and `PolicyNotEnforced` where the namespace is open.
    """
    clear(api)
    for leftover in api.items(pods(overlay.name), labelSelector=PROBE):
        api.delete(f"{pods(overlay.name)}/{leftover['metadata']['name']}")
    mine = _Probes(members, overlay)
    talk_s = 2 * patience_s + _MARGIN_S
    try:
        with namespace(api) as other, ThreadPoolExecutor(PARALLEL, thread_name_prefix="probe") as pool:
            outside = probes_on(members, other)
            every = [*mine.inside, *mine.exposed, *outside]
            with running(api, pool, every, packet_bytes=_PACKETS * overlay.mtu, talk_s=talk_s) as probes:
                first, second = len(mine.inside), len(mine.inside) + len(mine.exposed)
                inside, exposed, strangers = probes[:first], probes[first:second], probes[second:]
                _check_reached(pool, overlay, _Parties(inside, exposed, strangers), patience_s)
                _check_closed(api, pool, overlay, _Parties(inside, exposed, strangers))
    finally:
        for probe in (*mine.inside, *mine.exposed):
            api.delete(f"{pods(overlay.name)}/{probe.name}")
    pairs = len(mine.inside) * len(outside)
    detail = f"pods of the namespace {overlay.name} were reached from outside over none of {pairs} pairs of pods"
    return (Capability(NETWORK_POLICY, True, detail),)


def policies(overlay: Overlay) -> Mapping[str, Object]:
    """Return the specs of the namespace's policies, by name: all closed but to its own, to DNS, and what is exposed."""
    own: Sequence[Object] = [{"podSelector": {}}]
    exposed = {
        f"expose-{app}": {
            "podSelector": {"matchLabels": {"app": app}},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": port, "protocol": "TCP"}]}],
        }
        for app, port in _exposed(overlay)
    }
    return {
        "default-deny": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
        "same-namespace": {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": own}],
            "egress": [{"to": own}],
        },
        "dns": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": _DNS_PORTS}]},
        **exposed,
    }


class _Probes:
    """The probes in the namespace itself: one on each node, and one in the place of each exposed service."""

    def __init__(self, members: Sequence[Member], overlay: Overlay) -> None:
        name = f"carina-probe-{secrets.token_hex(3)}"
        self.inside = [
            Probe(member, overlay.name, f"{name}-{number}", (OPEN_PORT,)) for number, member in enumerate(members, 1)
        ]
        self.exposed = [
            Probe(members[0], overlay.name, f"{name}-{app}", (port,), {"app": app}) for app, port in _exposed(overlay)
        ]


@dataclass(frozen=True, slots=True)
class _Parties:
    inside: Sequence[Running]
    exposed: Sequence[Running]
    outside: Sequence[Running]


def _check_reached(pool: Executor, overlay: Overlay, parties: _Parties, patience_s: int) -> None:
    reach(pool, parties.inside, patience_s)
    said = in_parallel(pool, lambda probe: probe.answers(["reach"]), parties.inside)
    wrong = [
        line
        for probe, answers in zip(parties.inside, said, strict=True)
        for line in lost(probe, answers, parties.inside)
    ]
    services = {f"{probe.address}:{probe.probe.ports[0]}": probe.probe.labels["app"] for probe in parties.exposed}
    found = opened(pool, {probe: list(services) for probe in parties.outside}, patience_s)
    wrong += [
        f"{probe.member.name} does not reach the exposed service {app} from outside"
        for probe in parties.outside
        for address, app in services.items()
        if (probe, address) not in found
    ]
    if wrong:
        raise OverlayUnreachable(f"In the namespace {overlay.name}: {'; '.join(wrong)}.")


def _check_closed(api: Api, pool: Executor, overlay: Overlay, parties: _Parties) -> None:
    closed = [f"{probe.address}:{OPEN_PORT}" for probe in parties.inside]
    reached = still_open(api, pool, dict.fromkeys(parties.outside, closed))
    if reached:
        names = ", ".join(sorted({probe.member.name for probe, _ in reached}))
        raise PolicyNotEnforced(f"Pods of the namespace {overlay.name} were reached from outside it, on {names}.")


def _exposed(overlay: Overlay) -> Iterator[tuple[str, int]]:
    for service in overlay.services:
        app, _, port = service.partition(":")
        yield app, int(port)


def _is_ours(found: Object) -> bool:
    return LABEL in found["metadata"].get("labels", {})
